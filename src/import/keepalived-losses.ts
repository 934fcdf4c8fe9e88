/**
 * Words of keepalived.conf that `vrrp:` does not have, by the block they stand in: why nothing is lost with them, or what is lost and what to do
 * instead. Pure data.
 */
import type { KeepalivedNode } from './keepalived-parse.js';
import type { Report } from './findings.js';

/** `unneeded`: the other reason why there is no such word. */
interface Loss {
  readonly kind: 'lost' | 'unneeded' | 'mail' | 'balancing';
  readonly reason: string;
  readonly hint: string;
}

const table = new Map<string, Loss>();
const add = (kind: Loss['kind'], words: string, reason = '', hint = ''): void => {
  for (const word of words.split(' ')) table.set(word, { kind, reason, hint });
};

add('mail', 'notification_email notification_email_from smtp_server smtp_helo_name smtp_connect_timeout smtp_alert smtp_alert_vrrp smtp_alert_checker no_email_faults no_checker_emails');
add('balancing', 'virtual_server virtual_server_group SSL lvs_sync_daemon lvs_sync_daemon_interface lvs_timeouts lvs_flush lvs_flush_on_stop lvs_flush_onstop lvs_notify_fifo lvs_notify_fifo_script checker_log_all_failures rs_init_notifies net_namespace_ipvs nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark');

add('unneeded', 'router_id', 'it names the sender of mails; nodes are called as `uname -n` prints them');
add('unneeded', 'process_names process_name vrrp_process_name checker_process_name lvs_process_name bfd_process_name', 'the process is called drbdts-clusterd');
const scheduling = ['vrrp', 'checker', 'bfd'].flatMap((one) => ['priority', 'no_swap', 'rt_priority', 'cpu_affinity', 'rlimit_rttime', 'rlimit_rtime'].map((what) => `${one}_${what}`)).join(' ');
add('unneeded', `${scheduling} max_auto_priority min_auto_priority_delay`, 'drbdts-clusterd takes real-time priority by itself, and adverts leave from a thread of their own');
add('unneeded', 'vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier kernel_rx_buf_size vrrp_netlink_cmd_rcv_bufs vrrp_netlink_monitor_rcv_bufs lvs_netlink_cmd_rcv_bufs lvs_netlink_monitor_rcv_bufs process_monitor_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs_force lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs_force process_monitor_rcv_bufs_force', 'buffers have the size that is needed');
add('unneeded', 'random_seed tmp_config_directory config_save_dir data_use_instance json_version state_dump_file stats_dump_file json_dump_file use_pid_dir child_wait_time', '`drbdts vrrp status` and `--json` say what runs; nothing is written into files');
add('unneeded', 'include_check reload_check_config reload_repeat', 'a file with a mistake is refused, whatever this says');
add('unneeded', 'iproute_usr_dir iproute_etc_dir vmac_prefix vmac_addr_prefix', 'what it serves is not here');
add('unneeded', 'log_unknown_vrids debug', '`drbdts vrrp status` counts what is heard and rejected');
add('unneeded', 'dynamic_interfaces', 'an interface may come later: the instance is in fault until then');
add('unneeded', 'skip_check_adv_addr vrrp_skip_check_adv_addr', 'the addresses of every advert are compared; that costs nothing');
add('unneeded', 'timer_expired_backup thread_timer_expired', 'who did not run for longer than others wait is backup always');
add('unneeded', 'unicast_fault_no_peer', 'unicast without a peer is refused');
add('unneeded', 'old_unicast_checksum', 'adverts with either checksum are taken');
add('unneeded', 'linkbeat_use_polling linkbeat_interfaces', 'the kernel tells when a link goes down');
add('unneeded', 'global_tracking', 'it is obsolete');
add('unneeded', 'preempt accept', 'it is so without it');
add('unneeded', 'fork_delay terminate_delay delay', 'processes are looked at every 500 ms');

add('lost', 'enable_script_security', 'drbdts runs a script also when others than root may change it', '`drbdts config check keepalived.conf` names such scripts: chown root and chmod go-w them, or run them as a `user`.');
add('lost', 'use_symlink_paths set_supplementary_groups umask', 'scripts run with the groups of their user and the mask of drbdts-clusterd', 'Set it in the script.');
add('lost', 'startup_script shutdown_script startup_script_timeout shutdown_script_timeout', 'nothing is called at the start and the end of the process', 'Use ExecStartPre= and ExecStopPost= of the systemd unit.');
add('lost', 'notify_fifo_script vrrp_notify_fifo_script', 'nobody is started to read the FIFO', 'Start the reader as a service of its own, or call a program from `notify: any:`.');
add('lost', 'fifo_write_vrrp_states_on_reload reload_time_file reload_file', 'a reload is asked for by a signal only, and changes only what is different', 'Read the states from `drbdts vrrp status --json`.');
add('lost', 'use_vmac use_vmac_addr vmac_xmit_base use_ipvlan native_ipv6 vrf', 'adverts and addresses have the MAC address and the interface of the host', 'Leave it out on both nodes: neighbours learn the new place of an address from gratuitous ARP. Without a switch that keeps MAC addresses on one port nobody notices.');
add('lost', 'virtual_routes virtual_rules promote_secondaries', 'routes and rules do not move with an instance', 'Set them with `ip route` and `ip rule` from a script below `notify: master:` and `backup:`.');
add('lost', 'static_ipaddress static_addresses static_routes static_rules track_group', 'what stands always is not the business of a cluster manager', 'Configure it where the interfaces are configured (systemd-networkd, /etc/network/interfaces).');
add('lost', 'garp_group', 'frames are spaced for each instance', 'Write `announce: { gap: ... }`.');
add('lost', 'vrrp_garp_extra_if garp_extra_if vmac_garp_intvl vrrp_vmac_garp_intvl vrrp_vmac_garp_extra_if', 'addresses are announced on their own interface', 'Remove it; `announce: refresh:` repeats announcements.');
add('lost', 'interface_up_down_delays', 'a link that goes down counts at once', 'Write `down-adverts` higher, or track the link by a script with `fall`.');
add('lost', 'bfd_instance track_bfd', 'BFD is not spoken', 'VRRP 3 with `advert-interval: 100ms` finds a dead node within 0.4 s; a script can track a router.');
add('lost', 'track_src_ip', 'the source address is not tracked', 'An interface without a usable address is a fault anyway.');
add('lost', 'auth_hmac', 'adverts are not signed', 'Use a network of its own for adverts, or a firewall that lets only the other node speak protocol 112.');
add('lost', 'no_accept', 'an address that is held accepts what is sent to it', 'Drop it with a firewall rule.');
add('lost', 'strict_mode vrrp_strict', 'the letter of the RFC is not enforced', 'Remove what the RFC does not have: authentication, unicast, `preempt-delay`.');
add('lost', 'vrrp_delay_after_boot', 'the age of the boot does not count', 'Write `start-delay` for each instance: it counts from the start of the process.');
add('lost', 'disable_local_igmp', 'the kernel tells switches which groups are wanted', 'Remove it.');
add('lost', 'vrrp_iptables vrrp_ipsets nftables nftables_priority nftables_counters nftables_ifindex namespace_with_ipsets', 'no firewall rules are written', 'Write them where the firewall is configured.');
add('lost', 'snmp_socket enable_traps enable_snmp_vrrp enable_snmp_checker enable_snmp_keepalived enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 snmp_vs_stats_update_interval snmp_rs_stats_update_interval enable_dbus dbus_service_name dbus_no_interface_name', 'neither SNMP nor D-Bus is spoken', 'Ask `drbdts vrrp status --json`, or let `notify: any:` tell.');
add('lost', 'net_namespace instance', 'the process stays in the namespace it was started in', 'Start drbdts-clusterd with `ip netns exec`, or with NetworkNamespacePath= of systemd, and with `--socket` of its own.');
add('lost', 'init_file', 'the file is not made', 'Make it before the start; without it its number counts as missing.');
add('lost', 'param_match', 'arguments of a process are compared as a whole or not at all', 'Write the whole command line and `full-command: yes`.');
add('lost', 'quorum_max', 'too many processes do no harm', 'Count them with a script.');

/** Names every statement that was not taken over. */
export function reportLosses(nodes: readonly KeepalivedNode[], report: Report): void {
  for (const { word, values } of nodes) {
    const loss = table.get(word.text);
    const what = [word, ...values].map(({ text }) => text).join(' ');
    if (loss?.kind === 'mail') report('IMPORT_NO_MAIL', word, { word: word.text });
    else if (loss?.kind === 'balancing') report('IMPORT_LVS', word, { what });
    else if (loss?.kind === 'unneeded') report('IMPORT_NOTHING_LOST', word, { word: word.text, reason: loss.reason });
    else report('IMPORT_NOT_HERE', word, { word: word.text, reason: loss?.reason ?? '`vrrp:` has no such word', hint: loss?.hint ?? 'See resources/docs/vrrp.md for what there is.' });
  }
}
