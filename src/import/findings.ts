/**
 * What reading somebody else's configuration can find: the table of codes, and a collector with a bound. Pure. A finding is `lost` when the
 * line has no equivalent in drbdts, `error` when it is wrong in its own product already, `warning` when it is dangerous, `note` when nothing
 * is lost but a reader wants to know.
 */
export type Severity = 'error' | 'lost' | 'warning' | 'note';

/** Lines and columns count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface ImportFinding extends Place {
  readonly severity: Severity;
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

interface Kind {
  readonly severity: Severity;
  /** `{name}` stands for a value. */
  readonly message: string;
  readonly remedy: string;
}

const error = (message: string, remedy: string): Kind => ({ severity: 'error', message, remedy });
const lost = (message: string, remedy: string): Kind => ({ severity: 'lost', message, remedy });
const warning = (message: string, remedy: string): Kind => ({ severity: 'warning', message, remedy });
const note = (message: string, remedy: string): Kind => ({ severity: 'note', message, remedy });

export const importKinds = {
  // any file
  IMPORT_BINARY: error('the file holds bytes that are no text', 'Name the configuration itself, not an archive or a program.'),
  IMPORT_LINE_ENDS: warning('lines end as in Windows (CR LF): heartbeat and DRBD take the CR for a part of the last word', "sed -i 's/\\r$//' {file}"),
  IMPORT_INCLUDE: error("include '{pattern}': {reason}", 'Correct the path; it is relative to the file it stands in.'),
  IMPORT_INCLUDE_LOOP: error('{file} includes itself', 'Remove the include.'),
  IMPORT_TOO_MUCH: error('{what}; the rest is not read', 'Split the file, or name only what is to be taken over.'),
  IMPORT_SLASH_COMMENT: error('`//` does not begin a comment here: {product} takes it for a value', 'Write `#` instead of `//`.'),
  IMPORT_UNKNOWN_WORD: error("unknown word '{word}' in {where}", '{hint}'),
  IMPORT_MISPLACED: error("'{word}' does not belong into {where}", '{hint}'),
  IMPORT_DUPLICATE: error("'{word}' is here a second time; first at {first}", 'Keep one of them.'),
  IMPORT_MISSING_VALUE: error("'{word}' needs {what}", 'Add it.'),
  IMPORT_EXTRA_VALUE: error("'{word}' takes {what}; '{extra}' is too much", 'Remove it, or put quotes around words that belong together.'),
  IMPORT_VALUE: error('{problem}', '{hint}'),
  IMPORT_QUOTE: error('the quote that begins here never ends', 'Add the closing quote.'),
  IMPORT_BRACE_OPEN: error("the brace of '{word}' that opens here is never closed", 'Add `}` at the end of the block.'),
  IMPORT_BRACE_EXTRA: error('a closing brace without an opening one', 'Remove it, or add the opening one.'),
  IMPORT_BRACE_UNEXPECTED: error("'{word}' has no block", 'Remove the brace and what follows up to its end.'),
  IMPORT_BRACE_MISSING: error("'{word}' needs a block", 'Add `{` behind it.'),
  IMPORT_SEMICOLON: error("the semicolon after '{word}' is missing", 'Add `;`.'),
  IMPORT_TOO_DEEP: error('blocks are nested {depth} deep', 'No configuration needs that; remove the inner ones.'),
  IMPORT_NODE_NOT_HERE: warning("this host is '{node}', the file names {nodes}", 'Name the nodes as `uname -n` prints them, or give `--node NAME` when the file is for another host.'),
  IMPORT_FILES_DIFFER: error("{what} differs between the files of the two nodes; {other} has {value}", 'Make both files the same; otherwise the nodes do different things.'),
  IMPORT_RESULT: error('the result is not complete: {problem}', '{hint}'),
  // drbd.conf
  IMPORT_NO_EQUIVALENT: lost("'{word}' has no equivalent: {reason}", '{hint}'),
  IMPORT_VALUE_UNAVAILABLE: lost("{word} '{value}' is not available", '{hint}'),
  IMPORT_UNAUTHENTICATED: lost("without '{word}' the peers are not authenticated any more", 'Add `cram-hmac-alg: sha256` and `shared-secret` to `net`, on both nodes.'),
  IMPORT_NOTHING_LOST: note("'{word}' is not needed: {reason}", 'Nothing to do.'),
  IMPORT_RATE: note("'rate {value}' becomes resync-rate, as DRBD 8.4 reads it: the first guess of a controller", 'For a fixed rate as in DRBD 8.3 add `c-plan-ahead: 0`.'),
  IMPORT_HOST_COUNT: lost('resource {resource} has {count} hosts; drbdts replicates between two: {kept} are kept', 'Make resources of two hosts each.'),
  IMPORT_HOST_MISSING: error('resource {resource} has only one host', 'Add the `on` section of the other node.'),
  IMPORT_FLOATING: lost('hosts are found by name, not by address: this one is called {name} in the result', 'Put the name that `uname -n` prints there.'),
  IMPORT_STACKED: lost('resource {resource} is stacked on {lower}: two nodes are supported, not three', 'Leave it out.'),
  IMPORT_SKIPPED: note("'skip' leaves this out, and so does the import", 'Nothing to do.'),
  IMPORT_OUTDATER: lost("the handler '{word}' asks heartbeat's dopd, which is not there any more", 'Use an arbiter (`cluster: arbiter:`), which answers in its place.'),
  IMPORT_TWO_PRIMARIES: lost("'become-primary-on both' needs two Primaries, which drbdts does not allow", 'Name one node, or let the cluster manager promote.'),
  IMPORT_FENCING: warning('fencing dont-care, the default: a Primary that loses its peer goes on alone, and so does the other node when it is promoted', 'Configure an arbiter (`cluster: arbiter:`), or `fencing: resource-and-stonith` with a fence-peer handler.'),
  // ha.cf
  IMPORT_TIME: error("'{value}' is not a time: {problem}", 'Write seconds (`2`), or milliseconds (`500ms`).'),
  IMPORT_WARNTIME: error('deadtime ({deadtime}) is not above warntime ({warntime}): a node is dead before its silence is reported', 'Make warntime about half of deadtime.'),
  IMPORT_DEADTIME: error('deadtime ({deadtime}) must be more than twice keepalive ({keepalive})', 'Four times keepalive forgives lost packets; the import writes that.'),
  IMPORT_DEADTIME_TIGHT: warning('deadtime ({deadtime}) is less than four times keepalive ({keepalive})', 'A few lost packets look like a dead node; make deadtime longer.'),
  IMPORT_INITDEAD: error('initdead ({initdead}) is below deadtime ({deadtime})', 'Twice deadtime, at least 30 seconds, gives both nodes time to boot.'),
  IMPORT_WARNTIME_LOW: warning('warntime ({warntime}) is less than twice keepalive ({keepalive}): each lost packet will be reported', 'Make warntime longer.'),
  IMPORT_TIME_RANGE: lost('{word} {value} is out of the range of drbdts ({range}); the import writes {written}', 'Check that the new value suits you.'),
  IMPORT_NO_NODES: error('no `node` is named', 'Add `node NAME` for both nodes, as `uname -n` prints them.'),
  IMPORT_NODE_COUNT: lost("'{node}' is one node too many: a cluster has two", 'Make clusters of two nodes.'),
  IMPORT_NO_MEDIUM: error('no way for heartbeats: ucast, mcast, bcast or serial', 'Add `ucast eth1 ADDRESS`.'),
  IMPORT_ONE_MEDIUM: warning('only one way for heartbeats: when it breaks, each node takes the other for dead', 'Add a second one over other cards and cables.'),
  IMPORT_PORT_LATE: warning('udpport comes after the media lines it is meant for, which use the port before it', 'Put udpport before bcast, mcast and ucast.'),
  IMPORT_MEDIUM: lost("'{word}' has no equivalent: heartbeats travel over IP", 'Use a second network instead.'),
  IMPORT_ADDRESS_UNKNOWN: lost('the address of {nodes} on {interface} is not known, so this link is left out', 'Import on one of the nodes, give the files of both, or add `--address {node}/{interface}=ADDRESS`.'),
  IMPORT_BROADCAST: note('heartbeats go to the address of the peer instead of to all', 'Nothing to do.'),
  IMPORT_LINK_FROM_DRBD: warning('the only link is that of the replication addresses in drbd.conf', 'Add a second link over other cards and cables.'),
  IMPORT_NO_ARBITER: warning('heartbeat has nobody who decides when the nodes lose sight of each other, so the import writes `arbiter: none`: both nodes will serve then', 'Set up drbdts-witness on a third host and import with `--witness HOST:PORT`.'),
  IMPORT_STONITH: lost('the plug-ins of heartbeat are not used: the other node is not switched off before a takeover', 'Write `arbiter: { stonith: { agent: fence_..., targets: ... } }` with a fence agent, or set up a witness.'),
  IMPORT_LEGACY_FAILBACK: warning("'auto_failback legacy' is taken for 'on'", 'Write `auto-failback: no` if groups shall stay where they are.'),
  IMPORT_NICE_FAILBACK: error("'nice_failback' is obsolete", 'Write `auto_failback`, with the opposite value.'),
  IMPORT_PING_GROUP: lost('the members of ping_group {name} are taken as targets of their own; heartbeat counts them as one', 'Keep one of them, or be content that losing one of several counts.'),
  IMPORT_PING_NAME: lost("ping target '{value}' is no numeric address", 'Write its address; a name can not be resolved when it matters.'),
  IMPORT_PING_ALONE: warning('ping targets without ipfail: heartbeat only looked at them, drbdts moves groups when a node loses more of them than the other', 'Leave `ping:` out if that is not wanted.'),
  IMPORT_IPFAIL_ALONE: warning('ipfail without a ping target does nothing', 'Add `ping ADDRESS`, a router of the service network.'),
  IMPORT_PATH_MISSING: warning("'{path}' is not there on this host", 'Correct the path. Debian has these programs in /usr/lib/heartbeat; /usr/lib64 is that of others.'),
  IMPORT_CRM: lost("'{word} on': resources are managed by Pacemaker, not by haresources", 'See resources/docs/cluster-managers.md: drbdts runs under Pacemaker, too.'),
  IMPORT_NOT_HERE: lost("'{word}' has no equivalent: {reason}", '{hint}'),
  // authkeys
  IMPORT_AUTH_NO_ID: error("the line must begin with a key id (0 to 15), not with '{word}'", '{hint}'),
  IMPORT_AUTH_ID: error("'{word}' is not a key id", 'Ids are 0 to 15.'),
  IMPORT_AUTH_METHOD: error("unknown method '{word}'", '{hint}'),
  IMPORT_AUTH_NO_KEY: error('method {method} needs a key', 'Write it behind the method.'),
  IMPORT_AUTH_NONE: error("no line 'auth ID' says which key is used", 'Begin the file with it.'),
  IMPORT_AUTH_UNKNOWN: error("'auth {id}' names a key that no line defines", 'Add `{id} sha1 KEY`.'),
  IMPORT_AUTH_ORDER: error("'auth' comes after the key it names, and heartbeat overlooks it then", 'Put `auth` first.'),
  IMPORT_AUTH_OPEN: error('others than the owner may read the keys (mode {mode})', 'chmod 600 {file}'),
  IMPORT_AUTH_CRC: warning('crc protects against line noise only: anybody can send heartbeats', 'Use a key; drbdts always does.'),
  IMPORT_KEY_SHORT: lost('the key has {bytes} bytes and is not taken over: drbdts wants {least} or more', '(umask 077; head -c 32 /dev/urandom | base64 > {file}), and copy it to the other node and the witness.'),
  IMPORT_KEY: note('the key goes to {file}', 'Give `--key-output FILE` to write it, mode 0600; the same on both nodes and the witness.'),
  // haresources
  IMPORT_RESOURCE_NODE: error("'{node}' is not a node of the cluster", 'A line begins with the name of the node that is preferred: {nodes}.'),
  IMPORT_EMPTY_GROUP: error('the line has no resources', 'Add them behind the name of the node.'),
  IMPORT_GROUP_KEY: error("two lines begin with '{key}'; first at {first}", 'The first resource of every line is the name of its group, and has to be unique.'),
  IMPORT_ORDER: warning('{first} starts before {second}', '{hint}'),
  IMPORT_ORDER_FIXED: warning('{first} stands before {second}; the import puts it behind', 'Check the order of the members.'),
  IMPORT_VIP: error("'{value}' is not an address of the form IP/BITS/INTERFACE:LABEL/BROADCAST: {problem}", 'Write, for example, `IPaddr::192.168.42.14/24/eth0`.'),
  IMPORT_VIP_PREFIX: lost('the length of the prefix of {address} is not given and this host has no network of it; the import writes /{prefix}', 'Write the prefix of the network.'),
  IMPORT_VIP_BROADCAST: lost('the broadcast address {value} is not that of the network {network}', 'Broadcast addresses follow from the prefix; correct the prefix.'),
  IMPORT_VIP_LABEL: lost("the label '{value}' is left out: {problem}", 'A label is INTERFACE:TEXT, at most 15 characters, IPv4 only.'),
  IMPORT_VOLUME_UNKNOWN: lost("'{resource}' is not a resource of any drbd.conf that was given", 'Give drbd.conf to the same import.'),
  IMPORT_VOLUME_ADDED: warning('{device} is mounted, and nothing in the line makes it Primary: volume {resource} is put before it', 'Check the order of the members.'),
  IMPORT_SCRIPT: warning('{script} is neither in /etc/ha.d/resource.d nor in /etc/init.d of this host, nor a systemd unit', 'Install it, or correct the name. The import writes `lsb: {script}`.'),
  IMPORT_SCRIPT_UNIT: note('{script} is a systemd unit here: the import writes `systemd: {script}`', 'Nothing to do.'),
  IMPORT_AGENT: lost('{agent} has no equivalent: {reason}', '{hint}'),
  // keepalived.conf
  IMPORT_LVS: lost('the import does not write `balancing:`: {what} is not taken over', 'Write it by hand (`resources/docs/balancing.md`), or keep keepalived for it, without its vrrp_instance blocks (`keepalived --check`).'),
  IMPORT_NO_MAIL: lost("'{word}': drbdts sends no mail", 'Call a program that sends it below `notify: any:`; it gets INSTANCE, the name, the state and the priority.'),
  IMPORT_OTHER_NODE: lost('only the file of {node} was given: the priority, interface and addresses of the other node are not known, so the result is for {node} alone', 'Import both together, on one of the nodes: `drbdts import {node}={file} NAME=FILE`, NAME as `uname -n` prints it there.'),
  IMPORT_NODE_NAME: lost('which node the file is for does not stand in it: in the result it is called {node}', 'Give the name that `uname -n` prints there: `drbdts import NAME={file} ...`.'),
  IMPORT_NODES_DIFFER: lost('{word} of {name} differs: {here} on {node}, {there} on {other}; `vrrp:` has one for all nodes, and that of {written} is written', 'Make it the same on all nodes; a script can look at `uname -n`.'),
  IMPORT_CONDITION_LEFT: lost('the line holds only where keepalived is started as {id}, and the result is for {nodes}', 'Name the node with this file: `drbdts import NAME={file} ...`.'),
  IMPORT_LEFT_OUT: lost('{what} is left out: {reason}', '{hint}'),
  IMPORT_AUTH_AH: lost('auth_type AH is not spoken: the result is without authentication', 'Write `auth_type PASS` on all nodes while keepalived runs on one of them: nodes with and without AH do not hear each other.'),
  IMPORT_ADDRESS_OPTION: lost("'{option}' of an address has no equivalent", 'Remove it if the address works without it.'),
  IMPORT_NAME_CHANGED: lost("the name '{name}' becomes '{written}'", 'Look whether scripts and programs know the old name.'),
  IMPORT_SCRIPT_USERS: lost('{keyword} runs as {user}, other scripts of the block as {first}: the result has one user for all, {first}', 'Change the user in the script, for example with `setpriv` or `runuser`.'),
  IMPORT_SHELL: note("'{command}' is given to /bin/sh, which gives a meaning to $ ` ; & | < > * ? ~ ( )", 'Put what is meant literally in single quotes.'),
  IMPORT_BASH: warning("'{command}' needs bash: /bin/sh has no /dev/tcp, and the check fails always there; the import writes `bash -c`", 'Use a program that asks the service itself, such as curl.'),
  IMPORT_RANGE: error("{word} '{value}' is not {what}", '{hint}'),
  IMPORT_STATE: error("state '{value}': only MASTER and BACKUP are known; keepalived takes it for BACKUP", 'Write it in capital letters.'),
  IMPORT_OLD_WORD: warning("'{word}' is {what}", '{hint}'),
  IMPORT_VRID_MISSING: error('vrrp_instance {name} has no virtual_router_id, so keepalived drops it', 'Add `virtual_router_id N`, 1 to 255, the same on both nodes.'),
  IMPORT_VRID_TWICE: error('virtual_router_id {vrid} on {interface} belongs to {other} already ({first})', 'Give every instance of an interface its own.'),
  IMPORT_INTERFACE_NONE: error('vrrp_instance {name} has no interface', 'Add `interface NAME`.'),
  IMPORT_INTERFACE: warning('there is no interface {interface} on this host', 'Correct the name, or check on the host the file is for.'),
  IMPORT_VIP_NONE: error('vrrp_instance {name} has no virtual_ipaddress', 'Add the block with at least one address.'),
  IMPORT_VIP_NETWORK: error('{address} lies in no network of {interface}, which has {networks}', 'Correct the address or the interface; hosts of that network would not find it.'),
  IMPORT_VIP_TWICE: error('{address} is an address of {other} already ({first})', 'An address can follow one instance only.'),
  IMPORT_VIP_OWN: error('{address} is an address of this host already', 'A virtual address is one that no host has of its own.'),
  IMPORT_ADDRESS: error("'{value}' is not an IP address", 'Write it as 192.168.42.14/24 or fd00::1/64.'),
  IMPORT_PASS_LONG: error("auth_pass has {bytes} bytes; only the first 8 count", 'Shorten it to 8 on both nodes.'),
  IMPORT_PASS_WEAK: warning("auth_pass '{value}' is that of the documentation: two installations on one network accept each other", 'Choose another one.'),
  IMPORT_PASS_MISSING: error('authentication without {what}: keepalived ignores it', 'Add it, or remove the block.'),
  IMPORT_PASS_V3: warning('VRRP version 3 has no authentication: it is ignored', 'Remove the block.'),
  IMPORT_PREEMPT: warning("{word} with state MASTER has no effect", 'Write `state BACKUP` on both nodes.'),
  IMPORT_SAME_PRIORITY: error('{name} has priority {priority} on both nodes ({other}): which one wins is left to the addresses', 'Give the node that shall be master the higher one.'),
  IMPORT_MASTER_LOW: error('state MASTER with priority {priority}, but {other} has {higher}: it becomes backup as soon as it hears the other', 'Give the node with `state MASTER` the highest priority.'),
  IMPORT_MASTER_TWICE: warning('{name} is state MASTER on both nodes ({other})', 'Write `state BACKUP` on the one with the lower priority.'),
  IMPORT_PEER_DIFFERS: error("{word} of {name} differs: {here} here, {there} in {other}; the nodes ignore each other and both become master", 'Make it the same on both nodes.'),
  IMPORT_PEER_MISSING: warning('{name} (virtual_router_id {vrid} on {interface}) is not in {other}', 'Add it there: an address without a backup does not move.'),
  IMPORT_WEIGHT_SMALL: error('weight {weight} of {script} does not move {name}: {priority} - {size} = {result}, and {other} has {backup}', 'Make the weight larger than the distance of the priorities: {advice}.'),
  IMPORT_WEIGHT_UP: error('weight {weight} of {script} does not move {name}: without it {priority} is still not below {other} with {backup}', 'Use priorities whose distance is smaller than the weight.'),
  IMPORT_WEIGHT_NONE: note('{script} has no weight: when it fails, {name} goes to FAULT and gives its addresses away', 'Nothing to do.'),
  IMPORT_SCRIPT_UNKNOWN: error("there is no {kind} '{name}'", '{hint}'),
  IMPORT_SCRIPT_UNUSED: warning("vrrp_script {name} is used by no instance, so it never runs", 'Add it to `track_script`, or remove it.'),
  IMPORT_SCRIPT_MISSING: error("'{path}' is not there: keepalived leaves {what} out without another word", 'Install it, or correct the path.'),
  IMPORT_SCRIPT_MODE: error("'{path}' is not executable", 'chmod 755 {path}'),
  IMPORT_SCRIPT_INSECURE: warning("'{path}' runs as root and others than root may change {part}", 'chown root and chmod go-w {part}, or name a `script_user`.'),
  IMPORT_SCRIPT_PATH: warning("'{path}' has no full path and is looked for in PATH", 'Write the full path.'),
  IMPORT_SCRIPT_KILLALL: warning("'{command}' succeeds for every process of that name, also one that hangs", 'Ask the service itself, for example with curl.'),
  IMPORT_SCRIPT_SECURITY: warning('scripts run as root and `enable_script_security` is not set', 'Add `enable_script_security` and `script_user` to global_defs.'),
  IMPORT_TIMING: warning('{problem}', '{hint}'),
  IMPORT_NAME_MISSING: error("'{word}' needs a name", 'Write it behind the word.'),
  IMPORT_SYNC: error("sync group {name}: there is no vrrp_instance '{instance}'", '{hint}'),
  IMPORT_CONDITION: note('lines with @{ids} were all read: which of them hold depends on the id keepalived is started with', 'Give `--node NAME` to check as one of them.'),
  IMPORT_SEQUENCE: error('{problem}', 'A sequence is ~SEQ(NAME, START, STEP, END).'),
  IMPORT_REAL_NONE: warning('virtual_server {name} has no real_server', 'Add one; keepalived ignores it otherwise.'),
  IMPORT_REAL_TWICE: error('real_server {name} is here a second time; first at {first}', 'Keep one of them.'),
  IMPORT_REAL_PORT: error('lb_kind {kind} does not change ports, but the real server has port {real} and the virtual one {virtual}', 'Use the same port, or NAT.'),
  IMPORT_HYSTERESIS: error('hysteresis {hysteresis} is not below quorum {quorum}', 'Make it smaller.'),
  IMPORT_MAIL: warning('a mail address is given and no `smtp_alert`: keepalived sends no mail about transitions', 'Add `smtp_alert` to the instances, or `smtp_alert true` to global_defs.'),
} as const satisfies Record<string, Kind>;
export type ImportCode = keyof typeof importKinds;

/** A function is called only when the finding is kept: what a hint costs must not be paid for a hopeless file. */
export type Values = Readonly<Record<string, string | number | (() => string)>>;
export type Report = (code: ImportCode, place: Place, values?: Values) => void;

const valueLengthMax = 200;

/** Text from a file, safe to print: control characters and length are taken care of. */
export function printable(text: string): string {
  const short = text.length > valueLengthMax ? `${text.slice(0, valueLengthMax)}...` : text;
  return short.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\ufffd]/gu, '?');
}

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    return value === undefined ? whole : printable(String(typeof value === 'function' ? value() : value));
  });
}

const findingsMax = 500;

/** Collects findings; of a hopeless file it keeps the first ones and counts the rest. */
export class Findings {
  readonly #all: ImportFinding[] = [];
  readonly #seen = new Set<string>();
  /** findings that were not kept. */
  left = 0;

  readonly report: Report = (code, place, values = {}) => {
    if (this.#all.length >= findingsMax) {
      this.left += 1;
      return;
    }
    const kind: Kind = importKinds[code];
    const { file, line, column } = place;
    const found = { severity: kind.severity, code, file, line, column, message: fill(kind.message, values), remedy: fill(kind.remedy, values) };
    // an included file may be read for several others
    const key = `${file}:${line}:${column} ${code} ${found.message}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#all.push(found);
  };

  /** By file in the order given, then by place. */
  sorted(files: readonly string[]): ImportFinding[] {
    const rank = new Map(files.map((file, index) => [file, index]));
    const of = (file: string): number => rank.get(file) ?? files.length;
    return [...this.#all].sort((a, b) => of(a.file) - of(b.file) || (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column);
  }
}

/** What `drbdts explain CODE` prints of a finding; null for a code that is none. Names in capitals stand for what is found. */
export function explainImport(code: string): string | null {
  const wanted = code.toUpperCase();
  const kind: Kind | undefined = Object.hasOwn(importKinds, wanted) ? importKinds[wanted as ImportCode] : undefined;
  if (kind === undefined) return null;
  const named = (text: string): string => text.replace(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase());
  const severity = { error: 'an error of the file', lost: 'lost by drbdts import', warning: 'a danger', note: 'a note' }[kind.severity];
  return `${wanted} (${severity}; drbdts import, drbdts config check)\n${named(kind.message)}\n${named(kind.remedy)}\n`;
}

/** `ha.cf:15:1: lost: ... Remedy. [CODE]`, one line. */
export function formatFinding(found: ImportFinding): string {
  const end = /[.!?]$/.test(found.message) ? '' : '.';
  return `${found.file}:${found.line}:${found.column}: ${found.severity}: ${found.message}${end} ${found.remedy} [${found.code}]`;
}

/** The word meant by a mistyped one, as a remedy. */
export function didYouMean(guess: string | null, otherwise: string): string {
  return guess === null ? otherwise : `Did you mean '${guess}'?`;
}
