/** keepalived.conf of two nodes as their users had them: mistakes, mail and white space included; addresses and names are other ones. */
const mail = (indent: string): string =>
  ['notification_email {', 'ops@mail.example', 'night@mail.example', '}', 'notification_email_from keeper@mail.example', 'smtp_server 127.0.0.1', 'smtp_connect_timeout 30'].map((line) => `${indent}${line}\n`).join('');

/** A web server on two nodes, one address, a check without weight. */
export const web = (node: 'one' | 'two'): string => `global_defs {
${mail('')}router_id web_${node}
}
vrrp_script check_httpd {
script "killall -0 httpd"
interval 2
}
vrrp_instance WEB {
state ${node === 'one' ? 'MASTER' : 'BACKUP'}
interface eth0
virtual_router_id 80
priority ${node === 'one' ? 100 : 85}
advert_int 2
authentication {
auth_type PASS
auth_pass 1111
}
notify_master "/etc/keepalived/master.sh"
notify_backup "/etc/keepalived/backup.sh"
notify_fault "/etc/keepalived/fault.sh"
track_script {
check_httpd
}
virtual_ipaddress {
172.29.80.100
}
}
`;

/** Added later, by hand, in front of the instances. */
export const checkProxy = 'vrrp_script chk_proxy {\n    script "killall -0 proxy"\n    interval 2\n    weight -10\n    fall 2\n    rise 2\n}\n';

const four = [
  ['Outside_1', 'eth1', 171, '10.29.8.100'],
  ['Outside_2', 'eth1', 172, '10.29.8.101'],
  ['Inside_1', 'eth0', 191, '172.29.8.100'],
  ['Inside_2', 'eth0', 192, '172.29.8.101'],
] as const;

/** Two networks, four instances, each node is to be master of two. The second node has a priority twice, and with `typo` a word and its quote grown together. */
export function dual(node: 'one' | 'two', typo = false): string {
  const instances = four.map(([name, device, vrid, address], index) => {
    const master = (index % 2 === 0) === (node === 'one');
    const priority = master || (node === 'two' && index === 0) ? 100 : 95;
    const call = (state: string): string => (typo && index === 0 && state === 'fault' ? `    notify_"/opt/notify.sh ${state}"\n` : `    notify_${state} "/opt/notify.sh ${state}"\n`);
    return `vrrp_instance ${name} {
    state ${master ? 'MASTER' : 'BACKUP'}
    interface ${device}
    virtual_router_id ${vrid}
    priority ${priority}
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass secret0${index}
    }
    virtual_ipaddress {
        ${address}
    }
    track_script {
    chk_proxy
    }
${['master', 'backup', 'fault'].map(call).join('')}${node === 'two' ? '   }\n   \n' : '}\n'}`;
  });
  return `global_defs {\n${mail('   ')}   vrrp_mcast_group4 224.0.0.111\n}\n${checkProxy}${instances.join('')}`;
}
