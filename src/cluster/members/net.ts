/** What a virtual address needs of the network: kernel addresses with a lifetime, and frames that ask for and announce an owner. */
export interface NetInterface {
  readonly name: string;
  readonly index: number;
  /** set up by the administrator. */
  readonly up: boolean;
  /** a cable with something at its end. */
  readonly carrier: boolean;
}

export interface NetAddress {
  readonly interface: string;
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefix: number;
  readonly label: string;
  /** seconds until the kernel removes it, null for ever. */
  readonly validSeconds: number | null;
}

export interface NewAddress {
  readonly interface: string;
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefix: number;
  /** '' for none. */
  readonly label: string;
  /** '' for none; IPv4 only. */
  readonly broadcast: string;
  /** the kernel removes it after that long unless it is added again. */
  readonly validSeconds: number;
}

export interface Net {
  interfaces(): Promise<NetInterface[]>;
  addresses(): Promise<NetAddress[]>;
  /** Adds it, or gives it a new lifetime. IPv6 without the kernel's own duplicate address detection, which would take a second. */
  addAddress(address: NewAddress): Promise<void>;
  /** Removes it; one that is not there is no error. */
  deleteAddress(address: Pick<NewAddress, 'interface' | 'family' | 'address' | 'prefix'>): Promise<void>;
  /** Asks the network who has the address (ARP, neighbour solicitation); own answers do not count. */
  probe(address: string, networkInterface: string, options: { waitMs: number }): Promise<'free' | { mac: string }>;
  /** One gratuitous ARP request, or one unsolicited neighbour advertisement with override. */
  announce(address: string, networkInterface: string): Promise<void>;
}
