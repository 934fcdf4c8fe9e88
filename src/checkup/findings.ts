/** What a check of a node can find: the table of codes, and how one of them becomes a sentence about a place. Pure. */

export type Severity = 'error' | 'warning';

export interface CheckFinding {
  readonly code: string;
  readonly severity: Severity;
  /** file:line:column of the configuration, another file, or what it is about. */
  readonly place: string;
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
const warning = (message: string, remedy: string): Kind => ({ severity: 'warning', message, remedy });

/** An error keeps the cluster from doing its work or lets it do harm; a warning makes it worse than it need be. */
export const checkKinds = {
  // cluster
  CHECK_NO_CLUSTER: error('the file has no `cluster:` section', 'Add `cluster:` and `groups:`; resources/examples/cluster.yaml is a whole one.'),
  CHECK_NODE_NAME: error("this host is '{node}', the cluster is {nodes}", 'Name the nodes as `uname -n` prints them, or start the daemons with --node.'),
  CHECK_CONFIG_DIFFERS: error("'{key}' differs: {here} here, {there} in {other}", 'Use the same file on both nodes. While they differ nothing is started or moved.'),
  CHECK_PEER_CONFIG: error('{peer} works with another configuration', 'Copy the file to both nodes and reload drbdts-clusterd on both; `--against FILE` names what differs.'),
  CHECK_OLD_CONFIG: warning('drbdts-clusterd works with another configuration than this file', '`systemctl reload drbdts-clusterd` takes it; groups run on.'),
  CHECK_CLUSTERD_SAYS: warning('drbdts-clusterd says: {text}', 'See `drbdts cluster status`.'),
  CHECK_KEY_FILE: error('the key {file} can not be used: {reason}', '(umask 077; head -c 32 /dev/urandom | base64 > {file}), and copy it to the other node.'),
  CHECK_ARBITER: error('the arbiter does not answer: {reason}', 'Without it a node that loses its peer stands still. Start it, or correct address, cluster name and key.'),
  CHECK_ARBITER_ON_NODE: error('the arbiter {address} runs on {node}, a node of the cluster', 'When that node dies, the other one can ask nobody and stands still. Run it on a third host.'),
  CHECK_FENCE_AGENT: error('the fence agent {agent} is not installed', 'apt-get install fence-agents, or correct its name.'),
  CHECK_DEADTIME: error('deadtime is {deadtime} ms, but link {link} was silent for {gap} ms while the peer lived', 'Make deadtime {advice} ms or more, or find out what stands still for so long.'),
  CHECK_DEADTIME_CLOSE: warning('deadtime is {deadtime} ms, and link {link} was silent for {gap} ms already', 'Make deadtime {advice} ms or more.'),
  CHECK_STOOD_STILL: error('this node stood still for {gap} ms at {time}; deadtime is {deadtime} ms', 'Make deadtime {advice} ms or more, or find out what stopped the node: memory, a hypervisor, a debugger.'),
  CHECK_WATCHDOG: error('the watchdog {file} can not be used: {reason}', 'modprobe softdog if the hardware has none, or leave `watchdog` out.'),
  CHECK_WATCHDOG_BUSY: warning('the watchdog {file} is used by somebody already', 'Only one can have it: look for RuntimeWatchdogSec in /etc/systemd/system.conf, and for other watchdog daemons.'),
  CHECK_SELF_FENCE: warning('a group that can not be stopped could not end this node: the kernel has no /proc/sysrq-trigger, and neither a command nor a watchdog is given', 'Add `watchdog:` or `command:` to `self-fence:`.'),
  CHECK_RIVAL_RUNS: error('{rival} runs, and manages {address}, too ({file})', 'Stop and disable it: systemctl disable --now {rival}. Two managers of one address fight for it.'),
  CHECK_RIVAL_CONFIGURED: warning('{rival} is configured for {address}, too ({file})', 'Take it out of that file before {rival} is started by a boot.'),
  CHECK_UNFENCED: warning('volume {resource} is used by group {group} without fencing', 'Configure an arbiter; until then both nodes may write when they lose sight of each other.'),
  CHECK_PROTOCOL: warning('volume {resource} of group {group} uses protocol {protocol}: a failover may lose writes that were acknowledged', 'Use `protocol: C`.'),
  // network
  CHECK_INTERFACE_MISSING: error('there is no interface {interface}; there are {interfaces}', 'Correct the name.'),
  CHECK_INTERFACE_DOWN: error('interface {interface} is down', 'ip link set {interface} up, and have it up after a boot.'),
  CHECK_NO_CARRIER: error('interface {interface} has no carrier', 'Look at cable, switch port or bond.'),
  CHECK_LINK_ADDRESS: error('{address} of link {link} is not an address of this host', 'Configure it on this host, or correct the link.'),
  CHECK_LINK_INTERFACE: error('{address} of link {link} is on {interface}, not on {wanted}', 'Correct `interface` or the address.'),
  CHECK_LINKS_SHARED: warning('links {links} share {what}: they break together', 'Lead the second one over another card and another cable.'),
  CHECK_NO_ROUTE: error('there is no route to {address} ({what})', 'Correct the address or the network of this host.'),
  CHECK_PORT_TAKEN: error('UDP port {port} on {address} is taken by somebody else', 'Is heartbeat running? Give the link another `port` on both nodes.'),
  CHECK_REPLICATION_ADDRESS: error('{address} of {resource} is not an address of this host', 'Configure it on this host, or correct the resource.'),
  CHECK_REPLICATION_PORT: error('TCP port {port} on {address} is taken by somebody else', 'Give {resource} another port on both nodes.'),
  CHECK_VIP_NETWORK: error('{address} lies in no network of {interface}', 'Correct address or interface; this host has {networks}.'),
  CHECK_VIP_PREFIX: warning('{address} has the prefix {prefix}, its network on {interface} has {network}', 'Write /{network}.'),
  CHECK_VIP_IN_USE: error('{address} is in use: {owner} answers for it', 'Find out who that is; while somebody answers, the group does not start.'),
  CHECK_VIP_PERMANENT: error('{address} is configured on {interface} of this host, and not by drbdts-clusterd', 'ip address del {address}/{prefix} dev {interface}, and take it out of the network configuration.'),
  CHECK_VIP_AT_BOOT: error('{address} is configured at boot: {file}', 'Take it out of that file: only the cluster manager may set it.'),
  CHECK_VIP_IS_NODE: error('{address} is an address of {what}', 'The address of a group has to be one that no node has of its own.'),
  CHECK_PING_SILENT: warning('ping target {address} does not answer', 'Name addresses that always answer, such as routers; a node that has lost more of them gives up its groups.'),
  CHECK_PING_USELESS: warning('ping target {address} is {what}: it says nothing about the outer network', 'Name a router or a server outside.'),
  CHECK_PROGRAM: error('the program {program} is not installed', 'apt-get install {package}'),
  // storage
  CHECK_DISK: error('the disk {path} of {resource} {reason}', 'Correct the path, or connect the disk.'),
  CHECK_DISK_MOUNTED: error('the disk {path} of {resource} is mounted on {mount}', 'Unmount it: what is written past drbdts is not mirrored and destroys the copy.'),
  CHECK_DISK_IN_FSTAB: error('/etc/fstab mounts the disk {path} of {resource} on {mount}', 'Remove the line: the volume is mounted by the cluster manager, its disk never.'),
  CHECK_MOUNT_POINT: error('the mount point {path} is not a directory', 'Choose another one, or remove what is there.'),
  CHECK_MOUNT_NOT_EMPTY: warning('the mount point {path} is not empty: what is in it is hidden while the group runs here', 'Move its contents away. Programs that were started without the mount have written there.'),
  CHECK_MOUNT_TAKEN: error('{source} is mounted on {path} already', 'Unmount it, or choose another mount point.'),
  CHECK_MOUNTED_ALREADY: warning('{path} is mounted already, and drbdts-clusterd does not run the group here', 'umount {path}: the cluster manager mounts it when the group starts.'),
  CHECK_MOUNT_IN_FSTAB: error('/etc/fstab mounts {what}, too', 'Remove the line, or add `noauto`: only the cluster manager may mount it.'),
  CHECK_MOUNT_UNIT: error('systemd mounts {path} at boot ({unit})', 'systemctl disable {unit}'),
  CHECK_FILESYSTEM_TYPE: error('this kernel does not know the file system type {type}', 'Correct `type`, or install the module or helper for it.'),
  CHECK_NO_FILESYSTEM: error('there is no file system on {device}', 'mkfs.{type} {device}, on the node where the volume is Primary.'),
  CHECK_FILESYSTEM_DIFFERS: error('on {device} is {found}, not {type}', 'Correct `type`.'),
  CHECK_FSCK: warning('the program fsck.{type} is not installed: a file system that was not unmounted is mounted unchecked', 'Install it, or write `fsck: no`.'),
  CHECK_VOLUME: warning('volume {resource} is {state} here', 'See `drbdts status` and resources/docs/operations.md.'),
  // services
  CHECK_UNIT_MISSING: error('there is no systemd unit {unit}', 'Install the service on this node, too, or correct its name.'),
  CHECK_UNIT_MASKED: error('the systemd unit {unit} is masked and can not be started', 'systemctl unmask {unit}'),
  CHECK_AT_BOOT: error('{service} is started at boot as well ({how})', '{remedy}. A boot would start it without its volume, on both nodes.'),
  CHECK_SERVICE_RUNS: warning('{unit} runs already, and drbdts-clusterd does not run the group here', 'systemctl stop {unit}'),
  CHECK_SCRIPT: error('the script {script} {reason}', 'Install it on this node, too, or correct its name.'),
  CHECK_AGENT: error('the OCF agent {agent} {reason}', 'apt-get install resource-agents, or correct its name.'),
  CHECK_COMMAND: error('{command} {reason}', 'Install it on this node, too, or correct the command.'),
  CHECK_NO_MONITOR: warning('{member} has no monitor: nobody notices when it dies', 'Add `monitor:`, a command that succeeds while it works.'),
} as const satisfies Record<string, Kind>;
export type CheckCode = keyof typeof checkKinds;

/** Puts values into a text; a value that is not there stays as it is written. */
function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export function finding(code: CheckCode, place: string, values: Readonly<Record<string, string | number>> = {}): CheckFinding {
  const kind: Kind = checkKinds[code];
  return { code, severity: kind.severity, place, message: fill(kind.message, values), remedy: fill(kind.remedy, values) };
}

/** What `drbdts explain CODE` prints of a finding; null for a code that is none. Names in capitals stand for what is found. */
export function explainCheck(code: string): string | null {
  const kind: Kind | undefined = (checkKinds as Record<string, Kind>)[code.toUpperCase()];
  if (kind === undefined) return null;
  const named = (text: string): string => text.replace(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase());
  return `${code.toUpperCase()} (${kind.severity} of drbdts cluster check)\n${named(kind.message)}\n${named(kind.remedy)}\n`;
}
