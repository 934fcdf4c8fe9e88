/** Configurations as their users had them, mistakes and remarks included. */
export const drbdConf = `resource r0{
protocol C;
startup { wfc-timeout 0; degr-wfc-timeout 120;}
disk { on-io-error detach;}
net{
timeout 60;
connect-int 10;
ping-int 10;
max-buffers 2048;
max-epoch-size 2048;
}
syncer { rate 200M;}
on master1{
device /dev/drbd0;
disk /dev/sdb1;
address 192.168.42.12:7788;
meta-disk internal;
}
on master2{
device /dev/drbd0;
disk /dev/sdb1;
address 192.168.42.13:7788;
meta-disk internal;
}
}
`;

export const haCf = `debugfile /var/log/ha-debug //设定debug文件目录
logfile /var/log/ha-log //设定日志文件目录
logfacility local0
keepalive 2 //设定检查时间间隔为2s
deadtime 30 //设定死亡时间为30s
warntime 10 //设定告警时间为10s
initdead 60 //设定初始化时间为60s
udpport 694 //启动udp监听端口号
ucast eth1 10.1.1.2 //填写对方的心跳网卡及心跳IP
auto_failback on //启动故障恢复模式
node master1 //指定两个节点,主节点必须写在前面
node master2
ping 192.168.42.1 //指定一个第三方的仲裁节点
respawn hacluster /usr/lib64/heartbeat/ipfail //使用这个脚本去侦听对方是否还活着
`;

export const authkeys = 'auth 3\nmd5 Hello!\n';
export const haresources = 'master1 IPaddr::192.168.42.14/25/eth0:0 nginx drbddisk::r0 Filesystem::/dev/drbd0::/store::ext4\n';
export const haresourcesNginx = 'master1 IPaddr::192.168.42.14/25/eth0:0 nginx //这里填写需要漂移的资源:VIP和nginx服务。\n';
