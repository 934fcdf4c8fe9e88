/** MariaDB and nginx on /store, as members of a group: what a unit or an init script does on a host with an init. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';

export const databasePort = 3306;
export const pagePort = 80;
export const databaseUser = 'demo';
/** In a host's own /run, so that each node has its own. */
const runDir = '/run/demo';
const databaseSocket = `${runDir}/mariadb.sock`;

/** Programs that have to be there. */
export const servicePrograms = ['/usr/sbin/mariadbd', '/usr/bin/mariadb-install-db', '/usr/bin/mariadb', '/usr/sbin/nginx'] as const;

/** Makes a mount point, which goes with the lab if it was not there. */
export function makeMountPoint(lab: Lab, point: string): void {
  if (existsSync(point)) return;
  mkdirSync(point);
  lab.deferLast(point, () => rmdirSync(point));
}

/** Files that both nodes share, as they would have the same /etc. */
export interface ServiceFiles {
  readonly databaseConfig: string;
  readonly database: string;
  readonly web: string;
}

const databaseConfig = (store: string): string => `[mariadbd]
datadir=${store}/mysql
user=root
socket=${databaseSocket}
pid-file=${runDir}/mariadb.pid
port=${databasePort}
bind-address=0.0.0.0
skip-name-resolve
innodb_flush_log_at_trx_commit=1
innodb_buffer_pool_size=32M
innodb_log_file_size=16M
innodb_buffer_pool_dump_at_shutdown=OFF
innodb_buffer_pool_load_at_startup=OFF
performance_schema=OFF
`;

const webConfig = (store: string): string => `user root;
worker_processes 1;
pid ${runDir}/nginx.pid;
error_log ${runDir}/nginx.log;
events {}
http {
  access_log off;
  server {
    listen ${pagePort};
    root ${store}/www;
    add_header X-Node $hostname;
  }
}
`;

/** An LSB script. `start` returns when `ready` holds, `stop` when the process is gone. */
const script = (name: string, program: string, start: string, ready: string): string => `#!/bin/sh
mkdir -p ${runDir}
running() { pid=$(cat ${runDir}/${name}.pid 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = ${program} ]; }
case "$1" in
start)
  running && exit 0
  ${start}
  until running && ${ready}; do
    left=$((\${left:-1000} - 1))
    [ $left -gt 0 ] || { tail -n 20 ${runDir}/${name}.log; exit 1; }
    sleep 0.02
  done ;;
stop)
  running || exit 0
  kill "$pid"
  while running; do sleep 0.02; done ;;
status) running || exit 3 ;;
esac
`;

/** Writes configurations and scripts. */
export function writeServices(lab: Lab, store: string): ServiceFiles {
  const dir = join(lab.dir, 'services');
  mkdirSync(dir);
  const file = (name: string, text: string, mode = 0o644): string => {
    writeFileSync(join(dir, name), text, { mode });
    return join(dir, name);
  };
  const config = file('mariadb.cnf', databaseConfig(store));
  const nginxConfig = file('nginx.conf', webConfig(store));
  const startDatabase = `rm -f ${databaseSocket}\n  setsid /usr/sbin/mariadbd --defaults-file=${config} </dev/null >>${runDir}/mariadb.log 2>&1 &`;
  return {
    databaseConfig: config,
    database: file('mariadb', script('mariadb', 'mariadbd', startDatabase, `[ -S ${databaseSocket} ]`), 0o755),
    web: file('nginx', script('nginx', 'nginx', `/usr/sbin/nginx -c ${nginxConfig}`, 'true'), 0o755),
  };
}

/** Members of a group for them, in their order. */
export function serviceMembers(files: ServiceFiles): Record<string, unknown>[] {
  return [
    { lsb: files.database, name: 'mariadb', timeouts: { start: '30s', stop: '20s', every: '2s' } },
    { lsb: files.web, name: 'nginx', timeouts: { every: '2s' } },
  ];
}

/** Gives a mounted, empty store a database and a page. */
export async function furnish(host: Host, files: ServiceFiles, store: string): Promise<void> {
  await host.sh(`mkdir -p ${runDir} ${store}/www && echo "<h1>served from /store</h1>" > ${store}/www/index.html`);
  // --force: it wants to look up the host's name, which a fresh host may not know
  await host.must(['mariadb-install-db', `--defaults-file=${files.databaseConfig}`, '--auth-root-authentication-method=normal', '--force', '--skip-test-db']);
  const sql = `FLUSH PRIVILEGES;
CREATE DATABASE demo;
CREATE TABLE demo.entries (id BIGINT PRIMARY KEY, tries INT NOT NULL) ENGINE=InnoDB;
CREATE USER ${databaseUser}@'%';
GRANT ALL ON demo.* TO ${databaseUser}@'%';
`;
  await host.must(['/usr/sbin/mariadbd', `--defaults-file=${files.databaseConfig}`, '--bootstrap'], { input: sql });
}

/** Numbers of the rows in the database of a host, read there. */
export async function readRows(host: Host): Promise<number[]> {
  const text = await host.must(['mariadb', '--no-defaults', `--socket=${databaseSocket}`, '--user=root', '--batch', '--skip-column-names', '-e', 'SELECT id FROM demo.entries']);
  return text.split('\n').filter(Boolean).map(Number);
}
