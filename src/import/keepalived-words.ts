/**
 * The words of keepalived.conf up to 2.3, by the block they stand in (vrrp-keepalived §10, §12). Pure data. A form says what follows a word:
 * `f` nothing, `B` on or off or nothing, `N1-255` a number, `T` seconds, `S` one word, `S2` one or two, `*` anything, `+` at least one, `Q` a
 * script; `{block}` a block, `{block}+` a block behind a name.
 */
export interface Form {
  readonly word: string;
  readonly form: string;
  /** '' for none; `=` for lines that are no keywords. */
  readonly block: string;
  readonly named: boolean;
}

const checkCommon = 'connect_ip:S connect_port:N1-65535 bindto:S bind_port:N1-65535 bind_if:S fwmark:N0-4294967295 connect_timeout:T retry:N0-4294967295 delay_before_retry:T warmup:T delay_loop:T alpha:B log_all_failures:B';
const notify = 'notify:Q notify_master:Q notify_backup:Q notify_fault:Q notify_stop:Q notify_deleted:f notify_master_rx_lower_pri:Q notify_priority_changes:B smtp_alert:B';
const track = 'track_interface:{=} track_script:{=} track_file:{=} track_process:{=} track_bfd:{=}';
const process = ['vrrp', 'checker', 'bfd']
  .map((one) => `${one}_priority:N-20-19 ${one}_no_swap:f ${one}_rt_priority:N1-99 ${one}_cpu_affinity:+ ${one}_rlimit_rttime:N1-4294967295 ${one}_rlimit_rtime:N1-4294967295`)
  .join(' ');
const buffers = ['vrrp_netlink_cmd', 'vrrp_netlink_monitor', 'lvs_netlink_cmd', 'lvs_netlink_monitor', 'process_monitor'].map((one) => `${one}_rcv_bufs:N1-4294967295 ${one}_rcv_bufs_force:B`).join(' ');
const checkers = 'TCP_CHECK:{check} HTTP_GET:{http} SSL_GET:{http} SMTP_CHECK:{smtp} DNS_CHECK:{dns} UDP_CHECK:{udp} MISC_CHECK:{misc} PING_CHECK:{check} FILE_CHECK:{file} BFD_CHECK:{bfdcheck}';

const tables: Readonly<Record<string, string>> = {
  '': 'global_defs:{global} vrrp_script:{script}+ vrrp_instance:{instance}+ vrrp_sync_group:{sync}+ track_file:{trackfile}+ vrrp_track_file:{trackfile}+ vrrp_track_process:{process}+ track_process:{process}+ garp_group:{garp} static_ipaddress:{=} static_routes:{=} static_rules:{=} static_addresses:{=} track_group:{group}+ linkbeat_interfaces:{=} interface_up_down_delays:{=} bfd_instance:{bfd}+ virtual_server:{virtual}+ virtual_server_group:{=}+ SSL:{ssl} net_namespace:S net_namespace_ipvs:* namespace_with_ipsets:f instance:S use_pid_dir:f linkbeat_use_polling:f child_wait_time:N0-4294967295 include_check:*',
  global: `notification_email:{=} notification_email_from:S smtp_server:S2 smtp_helo_name:S smtp_connect_timeout:N0-4294967295 smtp_alert:B smtp_alert_vrrp:B smtp_alert_checker:B no_email_faults:f no_checker_emails:f router_id:S vrrp_mcast_group4:S vrrp_mcast_group6:S default_interface:S vrrp_version:N2-3 v3_checksum_as_v2:B vrrp_garp_master_delay:N0-4294967295 vrrp_garp_master_repeat:N1-4294967295 vrrp_garp_master_refresh:N0-4294967295 vrrp_garp_master_refresh_repeat:N1-4294967295 vrrp_garp_lower_prio_delay:N0-4294967295 vrrp_garp_lower_prio_repeat:N0-4294967295 vrrp_garp_interval:T vrrp_gna_interval:T vrrp_min_garp:B vrrp_garp_extra_if:+ vrrp_vmac_garp_intvl:+ vrrp_vmac_garp_extra_if:+ vrrp_down_timer_adverts:N1-100 vrrp_lower_prio_no_advert:B vrrp_higher_prio_send_advert:B vrrp_check_unicast_src:f vrrp_skip_check_adv_addr:B vrrp_strict:f vrrp_owner_ignore_adverts:B vrrp_notify_priority_changes:B vrrp_startup_delay:T vrrp_delay_after_boot:T log_unknown_vrids:f vrrp_rx_bufs_policy:S vrrp_rx_bufs_multiplier:N1-4294967295 dynamic_interfaces:* disable_local_igmp:f vmac_prefix:S vmac_addr_prefix:S script_user:S2 enable_script_security:f use_symlink_paths:B set_supplementary_groups:f startup_script:Q startup_script_timeout:N1-1000 shutdown_script:Q shutdown_script_timeout:N1-1000 notify_fifo:+ notify_fifo_script:Q vrrp_notify_fifo:+ vrrp_notify_fifo_script:Q lvs_notify_fifo:+ lvs_notify_fifo_script:Q fifo_write_vrrp_states_on_reload:f rs_init_notifies:f process_names:f process_name:* vrrp_process_name:* checker_process_name:* lvs_process_name:* bfd_process_name:* ${process} max_auto_priority:* min_auto_priority_delay:N1-10000000 umask:+ random_seed:N0-4294967295 tmp_config_directory:S config_save_dir:S data_use_instance:B json_version:N1-2 state_dump_file:S stats_dump_file:S json_dump_file:S iproute_usr_dir:S iproute_etc_dir:S include_check:* reload_check_config:* reload_time_file:S reload_repeat:f reload_file:* lvs_sync_daemon:+ lvs_timeouts:+ lvs_flush:f lvs_flush_on_stop:* lvs_flush_onstop:f checker_log_all_failures:B ${buffers} vrrp_iptables:* vrrp_ipsets:* nftables:* nftables_priority:N-2147483648-2147483647 nftables_counters:f nftables_ifindex:f nftables_ipvs:* nftables_ipvs_priority:N-2147483648-2147483647 nftables_ipvs_start_fwmark:N1-4294967295 snmp_socket:* enable_traps:f enable_snmp_vrrp:f enable_snmp_checker:f enable_snmp_keepalived:f enable_snmp_rfc:f enable_snmp_rfcv2:f enable_snmp_rfcv3:f snmp_vs_stats_update_interval:T snmp_rs_stats_update_interval:T enable_dbus:f dbus_service_name:S dbus_no_interface_name:S linkbeat_use_polling:f net_namespace:S net_namespace_ipvs:* namespace_with_ipsets:f instance:S use_pid_dir:f child_wait_time:N0-4294967295`,
  script: 'script:Q interval:T timeout:T weight:* rise:N1-2147483647 fall:N1-2147483647 user:S2 init_fail:f',
  instance: `state:S interface:S virtual_router_id:N1-255 priority:N1-255 advert_int:T version:N2-3 authentication:{auth} auth_hmac:{hmac} virtual_ipaddress:{=} virtual_ipaddress_excluded:{=} no_virtual_ipaddress:f virtual_routes:{=} virtual_rules:{=} promote_secondaries:f ${track} dont_track_primary:f track_src_ip:f mcast_src_ip:S unicast_src_ip:S mcast_dst_ip:S unicast_peer:{=} unicast_ttl:N0-255 unicast_fault_no_peer:f check_unicast_src:f nopreempt:f preempt:f preempt_delay:T accept:f no_accept:f strict_mode:B skip_check_adv_addr:B garp_master_delay:N0-4294967295 garp_master_repeat:N1-4294967295 garp_master_refresh:N0-4294967295 garp_master_refresh_repeat:N1-4294967295 garp_lower_prio_delay:N0-4294967295 garp_lower_prio_repeat:N0-4294967295 garp_extra_if:+ vmac_garp_intvl:+ down_timer_adverts:N1-100 lower_prio_no_advert:B higher_prio_send_advert:B owner_ignore_adverts:B timer_expired_backup:* thread_timer_expired:* ${notify} use_vmac:* use_vmac_addr:f vmac_xmit_base:f use_ipvlan:* vrf:S native_ipv6:f kernel_rx_buf_size:N0-4294967295 debug:N0-4 linkbeat_use_polling:f old_unicast_checksum:* v3_checksum_as_v2:B lvs_sync_daemon_interface:S track_group:S`,
  auth: 'auth_type:S auth_pass:S',
  hmac: 'key:+ active_key:N0-4294967295 time_window:* anti_replay:* mode:*',
  sync: `group:{=} ${track} ${notify} global_tracking:f sync_group_tracking_weight:f`,
  trackfile: 'file:S weight:* init_file:*',
  process: 'process:+ param_match:* weight:* quorum:N1-65535 quorum_max:N0-65535 fork_delay:T terminate_delay:T delay:T full_command:f',
  garp: 'garp_interval:T gna_interval:T interface:S interfaces:{=}',
  group: 'group:{=}',
  bfd: 'neighbor_ip:S source_ip:S min_rx:N1-1000000 min_tx:N1-1000000 idle_tx:N1-1000000 multiplier:N1-255 passive:f ttl:N1-255 hoplimit:N1-255 max_hops:N-1-255 multihop:f weight:* vrrp:f checker:f',
  ssl: 'password:S ca:S certificate:S key:S',
  virtual: `delay_loop:T lvs_sched:S lb_algo:S lvs_method:+ lb_kind:+ hashed:f ops:f flag-1:f flag-2:f flag-3:f sh-port:f sh-fallback:f mh-port:f mh-fallback:f persistence_timeout:* persistence_granularity:S persistence_engine:S protocol:S ip_family:S alpha:f omega:f ha_suspend:f quorum:N1-4294967295 hysteresis:N0-4294967295 quorum_up:Q quorum_down:Q weight:N0-65535 sorry_server:S2 sorry_server_inhibit:f sorry_server_lvs_method:+ retry:N0-4294967295 delay_before_retry:T warmup:T connect_timeout:T inhibit_on_failure:B virtualhost:S snmp_name:S smtp_alert:B real_server:{real}+ nat_mask:S`,
  real: `weight:N0-65535 lvs_method:+ uthreshold:N0-4294967295 lthreshold:N0-4294967295 inhibit_on_failure:B notify_up:Q notify_down:Q smtp_alert:B virtualhost:S snmp_name:S alpha:B connect_timeout:T retry:N0-4294967295 delay_before_retry:T warmup:T delay_loop:T log_all_failures:B ${checkers}`,
  check: checkCommon,
  http: `${checkCommon} http_protocol:S virtualhost:S fast_recovery:B enable_sni:f sni_name:S tls_compliant:f nb_get_retry:N0-4294967295 url:{url}`,
  url: 'path:S digest:S status_code:+ virtualhost:S regex:+ regex_no_match:f regex_options:+ regex_stack:+ regex_min_offset:N0-4294967295 regex_max_offset:N0-4294967295 tls_compliant:f',
  smtp: `${checkCommon} helo_name:S host:{check}`,
  dns: `${checkCommon} type:S name:S`,
  udp: `${checkCommon} payload:S require_reply:* min_reply_length:N0-65507 max_reply_length:N0-65507`,
  misc: `${checkCommon} misc_path:Q misc_timeout:N0-4294967295 misc_dynamic:f user:S2`,
  file: `${checkCommon} track_file:S weight:* dynamic:f`,
  bfdcheck: 'name:S',
};

/** Words that older or newer versions know, or that are spelt otherwise now. */
export const oldWords: Readonly<Record<string, readonly [string, string]>> = {
  nb_get_retry: ['the old name of retry', 'Write `retry`.'],
  vrrp_vmac_garp_intvl: ['an old name', 'Write `vrrp_garp_extra_if`.'],
  vmac_garp_intvl: ['an old name', 'Write `garp_extra_if`.'],
  vrrp_track_file: ['an old name', 'Write `track_file`.'],
  lvs_flush_onstop: ['an old name', 'Write `lvs_flush_on_stop`.'],
  global_tracking: ['obsolete', 'Remove it.'],
  linkbeat_use_polling: ['deprecated', 'Use the block `linkbeat_interfaces`.'],
  lvs_sync_daemon_interface: ['obsolete', 'Write `lvs_sync_daemon` in global_defs.'],
  vmac_prefix: ['known from 2.3 on', 'Older versions report an unknown word.'],
};

function parseTable(text: string): Map<string, Form> {
  const forms = new Map<string, Form>();
  for (const entry of text.split(' ')) {
    const colon = entry.indexOf(':');
    const [word, form] = [entry.slice(0, colon), entry.slice(colon + 1)];
    const block = /^\{(.*)\}(\+?)$/.exec(form);
    forms.set(word, { word, form: block === null ? form : '', block: block?.[1] ?? '', named: block?.[2] === '+' });
  }
  return forms;
}

const parsedTables = new Map(Object.entries(tables).map(([block, text]) => [block, parseTable(text)]));
const none: ReadonlyMap<string, Form> = new Map();

/** Words of a block; `` is the top of the file. Blocks of free lines have none. */
export function formsOf(block: string): ReadonlyMap<string, Form> {
  return parsedTables.get(block) ?? none;
}

/** Blocks in which a word may stand, in words for people. */
export function homesOf(word: string): string[] {
  return [...parsedTables].filter(([, forms]) => forms.has(word)).map(([block]) => block);
}

/** What a block is called in the file. */
export const blockWords: Readonly<Record<string, string>> = {
  '': 'the top of the file', global: 'global_defs', script: 'vrrp_script', instance: 'vrrp_instance', auth: 'authentication', hmac: 'auth_hmac', sync: 'vrrp_sync_group', trackfile: 'track_file', process: 'vrrp_track_process', garp: 'garp_group', group: 'track_group', bfd: 'bfd_instance', ssl: 'SSL', virtual: 'virtual_server', real: 'real_server', check: 'a checker', http: 'HTTP_GET', url: 'url', smtp: 'SMTP_CHECK', dns: 'DNS_CHECK', udp: 'UDP_CHECK', misc: 'MISC_CHECK', file: 'FILE_CHECK', bfdcheck: 'BFD_CHECK',
};
