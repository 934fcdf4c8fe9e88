/** `balancing:` after defaults, for all nodes of the file: what drbdts-clusterd spreads over real servers. Plain data; times in milliseconds. */

export type BalancingPlane = 'nftables' | 'ipvs';
export type BalancingProtocol = 'tcp' | 'udp';
/** `nat`: answers come back through the director. `dr`: frames are handed on as they are. `tun`: the same inside of IP packets. */
export type BalancingKind = 'nat' | 'dr' | 'tun';
export type BalancingScheduler = 'rr' | 'wrr' | 'lc' | 'wlc' | 'sh';

interface CheckCommon {
  /** where it is asked; '' and 0 for the address and port of the real server. */
  address: string;
  port: number;
  /** from connecting to the last byte of the answer. */
  timeoutMs: number;
  /** between the start of two checks. */
  everyMs: number;
  /** so many more failures in a row until the check is down. */
  retries: number;
  retryDelayMs: number;
}

export interface HttpExpectation {
  path: string;
  /** header Host; '' for the address. */
  host: string;
  /** ranges, both ends included. */
  status: { from: number; to: number }[];
  /** '' for none. */
  contains: string;
  regex: string;
  /** MD5 of the body in hexadecimal digits, '' for none. */
  digest: string;
}

export type BalancingCheck = CheckCommon &
  (
    | { type: 'tcp' }
    | ({ type: 'http' } & HttpExpectation)
    | ({ type: 'ssl'; verify: boolean; serverName: string } & HttpExpectation)
    | { type: 'smtp'; helo: string }
    | { type: 'udp'; payload: string; requireReply: boolean; reply: string }
    | { type: 'dns'; name: string; query: string }
    | { type: 'misc'; argv: string[]; user: string; dynamic: boolean }
  );

export interface RealServer {
  name: string;
  address: string;
  port: number;
  weight: number;
  /** down: weight 0 instead of being taken out, open connections go on. */
  inhibitOnFailure: boolean;
  checks: BalancingCheck[];
}

export interface VirtualServer {
  name: string;
  family: 4 | 6;
  address: string;
  port: number;
  protocol: BalancingProtocol;
  kind: BalancingKind;
  scheduler: BalancingScheduler;
  /** the instance of `vrrp:` that brings the address, the group that has to be started here, or null. */
  gate: { kind: 'instance' | 'group'; name: string } | null;
  /** kind dr with nftables: where clients' frames come in and where the real servers are, by node (`*` when the file names none). */
  interfaces: Record<string, { clients: string; servers: string }>;
  /** a client stays with its real server for so long after its last connection; 0: no. */
  persistenceMs: number;
  quorum: number;
  hysteresis: number;
  sorryServer: { address: string; port: number } | null;
  /** real servers count as down until their checks have succeeded once. */
  initFail: boolean;
  realServers: RealServer[];
}

export interface BalancingSection {
  plane: BalancingPlane;
  virtualServers: VirtualServer[];
}
