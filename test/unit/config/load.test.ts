import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatProblem, loadConfig, parseConfig } from '../../../src/config/load.js';
import { defaultsOf, optionTable } from '../../../src/config/options.js';
import { optionReference } from '../../../src/config/reference.js';
import { jsonSchema } from '../../../src/config/schema.js';
import { maskSecrets, type Problem } from '../../../src/config/types.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const example = readFileSync(join(root, 'resources/examples/r0.yaml'), 'utf8');

function problemsOf(text: string, node: string | null = null): Problem[] {
  return parseConfig(text, 'drbdts.yaml', node).problems;
}

function onlyProblem(text: string): Problem {
  const problems = problemsOf(text);
  assert.equal(problems.length, 1, problems.map(formatProblem).join('\n'));
  return problems[0] as Problem;
}

/** The example with one text replaced; the text has to be there. */
function changed(from: string, to: string): string {
  assert.ok(example.includes(from), `the example has no '${from}'`);
  return example.replace(from, to);
}

function lineOf(text: string, part: string): number {
  return text.slice(0, text.indexOf(part)).split('\n').length;
}

describe('the example configuration', () => {
  it('is free of problems on both of its hosts', () => {
    for (const node of ['master1', 'master2']) assert.deepEqual(problemsOf(example, node), []);
  });

  it('means what the drbd.conf of the same volume means', () => {
    const resource = parseConfig(example, 'f', 'master1').config?.resources[0];
    assert.equal(resource?.name, 'r0');
    assert.equal(resource?.protocol, 'C');
    assert.deepEqual(resource?.startup, { ...defaultsOf('startup'), 'degr-wfc-timeout': 120 });
    assert.deepEqual(resource?.net, {
      ...defaultsOf('net'),
      timeout: 60,
      'connect-int': 10,
      'ping-int': 10,
      'max-buffers': 2048,
      'max-epoch-size': 2048,
    });
    assert.equal(resource?.volumes[0]?.disk['resync-rate'], 204_800, '200M is 200 MiB/s, kept as KiB/s');
    assert.deepEqual(resource?.hosts[1], {
      name: 'master2',
      address: { family: 4, host: '192.168.42.13', port: 7788 },
      volumes: [{ volume: 0, device: '/dev/drbd0', minor: 0, disk: '/dev/sdb1', metaDisk: 'internal', metaIndex: 'internal' }],
    });
  });
});

describe('problems', () => {
  it('an unknown key gives its place, what was expected, and the nearest name', () => {
    const text = changed('ping-int: 10', 'pong-int: 10');
    const problem = onlyProblem(text);
    assert.equal(problem.code, 'ERR_CONFIG_UNKNOWN_KEY');
    assert.deepEqual([problem.line, problem.column], [lineOf(text, 'pong-int'), 7]);
    assert.match(problem.message, /'pong-int'.*expected one of:.*ping-int/);
    assert.equal(problem.remedy, "Did you mean 'ping-int'?");
  });

  it('an option in the wrong section is sent to the right one', () => {
    assert.match(
      onlyProblem(changed('on-io-error: detach', 'on-io-error: detach\n      verify-alg: sha1')).remedy,
      /belongs into the section `net`/,
    );
  });

  it('allow-two-primaries is refused by name and with the reason', () => {
    const problem = onlyProblem(changed('ping-int: 10', 'allow-two-primaries: yes'));
    assert.equal(problem.code, 'ERR_CONFIG_REFUSED_OPTION');
    assert.match(problem.message, /allow-two-primaries.*two writers/);
  });

  it('the 8.3 section syncer is translated', () => {
    assert.match(onlyProblem(changed('    net:', '    syncer: { rate: 200M }\n    net:')).remedy, /resync-rate/);
  });

  it('a value out of range says value and range at the value', () => {
    const text = changed('max-buffers: 2048', 'max-buffers: 7');
    const problem = onlyProblem(text);
    assert.match(problem.message, /max-buffers 7 => 7 out of range \[32\.\.131072\]/);
    assert.deepEqual([problem.line, problem.column], [lineOf(text, 'max-buffers'), 20]);
  });

  it('all problems are reported at once, in the order of the file, those between places included', () => {
    const text = changed('ping-int: 10', 'pong-int: 10').replace('protocol: C', 'protocol: Q').replace('192.168.42.13', '192.168.42.12');
    const problems = problemsOf(text);
    assert.deepEqual(
      problems.map((problem) => problem.code),
      ['ERR_CONFIG_VALUE', 'ERR_CONFIG_UNKNOWN_KEY', 'ERR_CONFIG_CONFLICT'],
    );
    assert.match(problems[2]?.message ?? '', /conflicting use of IP '192\.168\.42\.12:7788'/);
    assert.equal(problems[2]?.line, text.split('\n').findLastIndex((line) => line.includes('192.168.42.12')) + 1);
  });

  it('broken YAML gives line and column and no crash', () => {
    const problem = onlyProblem('resources:\n  r0:\n    on:\n      a:\n        address: [fd00::1]:7788\n');
    assert.equal(problem.code, 'ERR_CONFIG_SYNTAX');
    assert.equal(problem.line, 5);
    assert.match(problem.remedy, /quotes/);
  });

  it('the same key twice is an error', () => {
    assert.equal(problemsOf(changed('protocol: C', 'protocol: C\n    protocol: B'))[0]?.line, 7);
  });

  const cases: [string, string, string, RegExp][] = [
    ['one host only', example.slice(example.indexOf('      master2:')), '', /exactly two hosts.*found master1/],
    [
      'three hosts',
      '      master1:',
      '      third: { device: /dev/drbd0, disk: /dev/sdb1, address: 10.0.0.3:7788, meta-disk: internal }\n      master1:',
      /exactly two hosts/,
    ],
    ['no address', '        address: 192.168.42.13:7788\n', '', /host master2: 'address' is missing/],
    ['no meta-disk', '        meta-disk: internal\n      master2:', '      master2:', /host master1: 'meta-disk' is missing/],
    ['a wrong port', '192.168.42.13:7788', '192.168.42.13:77880', /expected IPV4:PORT/],
    ['a host name for an address', '192.168.42.13:7788', 'master2:7788', /expected IPV4:PORT/],
    ['a device that is no drbd device', 'device: /dev/drbd0', 'device: /dev/sdc', /expected \/dev\/drbdN/],
    ['a secret without algorithm', 'timeout: 60', 'shared-secret: tell-nobody', /shared-secret without cram-hmac-alg/],
    ['an algorithm without secret', 'timeout: 60', 'cram-hmac-alg: sha1', /cram-hmac-alg without shared-secret/],
    ['a secret that is too long', 'timeout: 60', `cram-hmac-alg: sha1\n      shared-secret: ${'x'.repeat(64)}`, /longer than 63 bytes/],
    ['become-primary-on both', 'wfc-timeout: 0', 'become-primary-on: both\n      wfc-timeout: 0', /two primaries/],
    ['become-primary-on somebody', 'wfc-timeout: 0', 'become-primary-on: master3\n      wfc-timeout: 0', /'master3', which is not a host/],
    ['stonith with protocol A', 'on-io-error: detach', 'fencing: resource-and-stonith', /fencing resource-and-stonith/],
    [
      'disk as a path at the level of the resource',
      '    disk:\n      on-io-error: detach\n      resync-rate: 200M',
      '    disk: /dev/sdb1',
      /expected object/,
    ],
    ['two protocols', 'timeout: 60', 'protocol: B', /protocol B here and C/],
  ];
  for (const [what, from, to, message] of cases) {
    it(`${what} is said`, () => {
      let text = changed(from, to);
      if (what === 'stonith with protocol A') text = text.replace('protocol: C', 'protocol: A');
      const problems = problemsOf(text);
      assert.ok(
        problems.some((problem) => message.test(problem.message)),
        problems.map(formatProblem).join('\n'),
      );
      for (const problem of problems) {
        assert.ok(problem.line >= 1 && problem.column >= 1);
        assert.ok(problem.remedy.length > 0 && problem.file === 'drbdts.yaml');
      }
    });
  }

  it('duplicates across resources are found: minor, disk, meta-disk', () => {
    const host = (n: number, minor: number, port: number): string =>
      `{ device: /dev/drbd${minor}, disk: /dev/sdb1, address: '10.0.0.${n}:${port}', meta-disk: /dev/sdz }`;
    const text = `resources:\n  a:\n    on:\n      x: ${host(1, 0, 7788)}\n      y: ${host(2, 0, 7788)}\n  b:\n    on:\n      x: ${host(1, 0, 7789)}\n      y: ${host(2, 1, 7789)}\n`;
    const messages = problemsOf(text).map((problem) => problem.message);
    assert.ok(
      messages.some((message) => /device minor 0.*a\/0 on x/.test(message)),
      messages.join('\n'),
    );
    assert.ok(messages.some((message) => /disk '\/dev\/sdb1'.*a\/0 on y/.test(message)));
    assert.ok(messages.some((message) => /meta-disk '\/dev\/sdz'/.test(message)));
  });

  it('a resource for other hosts is a warning here', () => {
    const { config, problems } = parseConfig(example, 'f', 'elsewhere');
    assert.equal(problems[0]?.severity, 'warning');
    assert.match(problems[0]?.message ?? '', /not for this host.*'elsewhere'/);
    assert.notEqual(config, null);
  });
});

describe('forms', () => {
  it('several volumes, IPv6, indexed and flexible meta-disks, inheritance from common', () => {
    const text = `
common:
  protocol: B
  net: { ping-timeout: 700ms, use-rle: no }
  disk: { al-extents: 257 }
resources:
  data:
    net: { protocol: A, timeout: 3s }
    volumes:
      0: { device: /dev/drbd10, disk-path: /dev/vg/data, meta-disk: '/dev/vg/md[0]' }
      1: { device: /dev/logs minor 11, disk-path: /dev/vg/logs, meta-disk: /dev/vg/md1, disk: { c-max-rate: 1G, size: 10G } }
    on:
      a: { address: '[fd00::1]:7788' }
      b: { address: 'ipv6 [fd00::2]:7788', volumes: { 1: { disk: /dev/other } } }
`;
    const { config, problems } = parseConfig(text, 'f', 'a');
    assert.deepEqual(problems, []);
    const resource = config?.resources[0];
    assert.equal(resource?.protocol, 'A', 'the resource wins over common');
    assert.equal(resource?.net['ping-timeout'], 7);
    assert.equal(resource?.net.timeout, 30);
    assert.equal(resource?.net['use-rle'], false);
    assert.deepEqual(resource?.hosts[0].address, { family: 6, host: 'fd00::1', port: 7788 });
    assert.deepEqual(resource?.hosts[0].volumes, [
      { volume: 0, device: '/dev/drbd10', minor: 10, disk: '/dev/vg/data', metaDisk: '/dev/vg/md', metaIndex: 0 },
      { volume: 1, device: '/dev/logs', minor: 11, disk: '/dev/vg/logs', metaDisk: '/dev/vg/md1', metaIndex: 'flexible' },
    ]);
    assert.equal(resource?.hosts[1].volumes[1]?.disk, '/dev/other');
    assert.deepEqual(
      resource?.volumes.map((volume) => [volume.disk['al-extents'], volume.disk['c-max-rate'], volume.disk.size]),
      [
        [257, 102_400, 0],
        [257, 1_048_576, 20_971_520],
      ],
    );
  });

  it('every option of the table is taken in its section', () => {
    const value = (spec: (typeof optionTable)[number]): string => {
      if (spec.kind === 'number') return String(spec.max);
      if (spec.kind === 'boolean') return 'yes';
      if (spec.kind === 'enum') return JSON.stringify(spec.values.at(-1));
      return spec.name === 'become-primary-on' ? 'master1' : "'x'";
    };
    const lines = (section: string): string =>
      optionTable
        .filter((spec) => spec.section === section)
        .map((spec) => `      ${spec.name}: ${value(spec)}`)
        .join('\n');
    const hosts = example.slice(example.indexOf('    on:'));
    const text = `resources:\n  r0:\n${['startup', 'disk', 'net', 'handlers'].map((section) => `    ${section}:\n${lines(section)}\n`).join('')}${hosts}`;
    assert.deepEqual(
      problemsOf(text)
        .filter((problem) => problem.severity === 'error')
        .map(formatProblem),
      [],
    );
  });
});

describe('the file', () => {
  it('that others may read is a warning while it has a secret, and the secret is masked in replies', () => {
    const directory = mkdtempSync(join(tmpdir(), 'drbdts-config-'));
    try {
      const file = join(directory, 'drbdts.yaml');
      writeFileSync(file, changed('timeout: 60', 'cram-hmac-alg: sha256\n      shared-secret: tell-nobody'));
      chmodSync(file, 0o644);
      const open = loadConfig(file, 'master1');
      assert.equal(open.problems[0]?.severity, 'warning');
      assert.match(open.problems[0]?.remedy ?? '', /^chmod 600 /);
      chmodSync(file, 0o600);
      const closed = loadConfig(file, 'master1');
      assert.deepEqual(closed.problems, []);
      assert.ok(closed.config !== null && !JSON.stringify(maskSecrets(closed.config)).includes('tell-nobody'));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('that is missing is refused with exit code 20', () => {
    assert.throws(() => loadConfig('/nonexistent/drbdts.yaml', null), { code: 'ERR_CONFIG_MISSING', exitCode: 20 });
  });
});

it('resources/drbdts.schema.json is what the schema gives', () => {
  const stored: unknown = JSON.parse(readFileSync(join(root, 'resources/drbdts.schema.json'), 'utf8'));
  assert.deepEqual(stored, JSON.parse(JSON.stringify(jsonSchema())), 'run `node dist/src/config/write-schema.js`');
});

it('resources/docs/configuration.md has the options as they are', () => {
  const page = readFileSync(join(root, 'resources/docs/configuration.md'), 'utf8');
  assert.ok(page.includes(`<!-- options -->\n${optionReference()}<!-- end of options -->`), 'run `node dist/src/config/write-schema.js`');
});
