/** drbdts cluster ...: what is asked of the cluster manager, what is printed, and how the commands end. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterApi } from '../../../src/cli/api.js';
import { formatCheckup } from '../../../src/cli/format-checkup.js';
import { formatAge, formatClusterStatus, formatHistory } from '../../../src/cli/format-cluster.js';
import type { ClusterRequest, ClusterStatus, ClusterVerb, GroupStatus, HistoryEntry } from '../../../src/control/cluster-messages.js';
import { drbdtsError } from '../../../src/shared/errors.js';
import { exampleFile } from '../checkup/world.js';
import { type Outcome, runFake } from './fake-context.js';

const group = (changes: Partial<GroupStatus> = {}): GroupStatus => ({
  ...{ name: 'web', phase: 'started', peerPhase: 'stopped', node: 'alpha', target: 'alpha', why: 'it runs there', held: false, failCount: 0, failure: '', pinned: '' },
  members: [{ name: 'volume r0', kind: 'volume', phase: 'started', doing: '', reason: '' }],
  ...changes,
});
const status = (changes: Partial<ClusterStatus> = {}): ClusterStatus => ({
  ...{ cluster: 'store', node: 'alpha', version: '1', configDigest: 'd', maintenance: false, drbdtsd: true, warnings: [] },
  nodes: [
    { name: 'alpha', state: 'online', sinceMs: 0, pingLost: 0, sameConfiguration: true },
    { name: 'beta', state: 'online', sinceMs: 61_000, pingLost: 0, sameConfiguration: true },
  ],
  links: [{ name: 'direct', state: 'up', oneWay: false, silentMs: 12, gapMaxMs: 130, rttMs: 0.2, lost: 0 }],
  arbiter: { kind: 'witness', unvouched: [], standings: { r0: 'together' } },
  groups: [group()],
  ...changes,
});

interface Asked {
  readonly verb: ClusterVerb;
  readonly request: ClusterRequest;
}

/** A cluster manager that goes through `states`; each watch yields the rest of them and then goes on for ever or dies. */
class FakeCluster implements ClusterApi {
  readonly asked: Asked[] = [];
  limit = 0;
  entries: HistoryEntry[] = [];
  refuse: Error | null = null;
  /** after that many states the connection breaks, once. */
  breaksAfter = Number.POSITIVE_INFINITY;
  readonly #states: readonly ClusterStatus[];
  #at = 0;

  constructor(...states: readonly ClusterStatus[]) {
    this.#states = states.length === 0 ? [status()] : states;
  }
  async status(): Promise<ClusterStatus> {
    return this.#states[Math.min(this.#at, this.#states.length - 1)] ?? status();
  }
  async history(limit: number) {
    this.limit = limit;
    return { entries: this.entries };
  }
  async balancing(): Promise<never> {
    throw drbdtsError('ERR_BALANCING_NOT_CONFIGURED');
  }
  async vrrpExplain(): Promise<never> {
    throw drbdtsError('ERR_VRRP_NOT_CONFIGURED');
  }
  async vrrp(): Promise<never> {
    throw drbdtsError('ERR_VRRP_NOT_CONFIGURED');
  }
  async verb(verb: ClusterVerb, request: ClusterRequest) {
    this.asked.push({ verb, request });
    if (this.refuse !== null) throw this.refuse;
    return { output: [`${verb} has begun`] };
  }
  async *watch(signal: AbortSignal): AsyncGenerator<ClusterStatus> {
    for (; this.#at < this.#states.length; this.#at++) {
      if (this.#at === this.breaksAfter) {
        this.breaksAfter = Number.POSITIVE_INFINITY;
        throw drbdtsError('ERR_CLUSTERD_UNREACHABLE', { values: { socket: 's', reason: 'gone' } });
      }
      yield this.#states[this.#at] ?? status();
    }
    // a connection keeps a process alive, a time limit alone does not
    const connection = setInterval(() => {}, 1000);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve());
    });
    clearInterval(connection);
  }
}

const on = (cluster: FakeCluster, ...args: string[]): Promise<Outcome> => runFake(['cluster', ...args], { cluster });
const moving = group({ phase: 'stopping', node: 'alpha', target: 'beta', pinned: 'beta' });
const moved = group({ phase: 'stopped', peerPhase: 'started', node: 'beta', target: 'beta', pinned: 'beta' });

describe('what is asked', () => {
  const cases: readonly (readonly [string[], Asked])[] = [
    [['move', 'web', '--no-wait'], { verb: 'move', request: { group: 'web' } }],
    [['move', 'web', 'beta', '--no-wait'], { verb: 'move', request: { group: 'web', node: 'beta' } }],
    [['standby', '--no-wait'], { verb: 'standby', request: {} }],
    [['standby', 'beta', '--no-wait'], { verb: 'standby', request: { node: 'beta' } }],
    [['online'], { verb: 'online', request: {} }],
    [['online', 'beta'], { verb: 'online', request: { node: 'beta' } }],
    [['takeover', '--no-wait'], { verb: 'takeover', request: { which: 'all' } }],
    [['takeover', 'foreign', '--no-wait'], { verb: 'takeover', request: { which: 'foreign' } }],
    [['maintenance', 'on'], { verb: 'maintenance', request: { on: true } }],
    [['maintenance', 'off'], { verb: 'maintenance', request: { on: false } }],
    [['cleanup'], { verb: 'cleanup', request: {} }],
    [['cleanup', 'web'], { verb: 'cleanup', request: { group: 'web' } }],
  ];
  for (const [args, asked] of cases) {
    it(args.join(' '), async () => {
      const cluster = new FakeCluster();
      const { code, stdout, stderr } = await on(cluster, ...args);
      assert.deepEqual([code, stdout, stderr], [0, `${asked.verb} has begun\n`, '']);
      assert.deepEqual(cluster.asked, [asked]);
    });
  }
  it('with --json the reply as it came', async () => {
    const { stdout } = await runFake(['--json', 'cluster', 'cleanup'], { cluster: new FakeCluster() });
    assert.deepEqual(JSON.parse(stdout), { output: ['cleanup has begun'] });
  });
});

describe('waiting', () => {
  it('move ends when the group runs there, whatever comes between', async () => {
    assert.equal((await on(new FakeCluster(status({ groups: [moving] }), status({ groups: [group({ phase: 'stopped', node: '', target: 'beta', pinned: 'beta' })] }), status({ groups: [moved] })), 'move', 'web')).code, 0);
  });
  it('a restart of the cluster manager meanwhile does not matter', async () => {
    const cluster = new FakeCluster(status({ groups: [moving] }), status({ groups: [moving] }), status({ groups: [moved] }));
    cluster.breaksAfter = 1;
    assert.equal((await on(cluster, 'move', 'web', 'beta')).code, 0);
  });
  it('what is not done in time goes on: exit code 5 and where it stands', async () => {
    const { code, stderr } = await on(new FakeCluster(status({ groups: [moving] })), 'move', 'web', '--timeout', '1');
    assert.equal(code, 5);
    assert.match(stderr, /move of web: not done after 1 s; it goes on in the background\n {2}web: stopping, it runs there/);
  });
  it('standby ends when nothing runs on that node', async () => {
    assert.equal((await on(new FakeCluster(status(), status({ groups: [moved] })), 'standby')).code, 0);
    assert.equal((await on(new FakeCluster(status({ groups: [moved] }), status()), 'standby', 'beta')).code, 0);
  });
  it('takeover ends when what goes to this node runs here', async () => {
    const foreign = group({ phase: 'stopped', peerPhase: 'started', node: 'beta', pinned: 'alpha' });
    assert.equal((await on(new FakeCluster(status({ groups: [foreign] }), status({ groups: [group({ pinned: 'alpha' })] })), 'takeover')).code, 0);
  });
});

describe('refusals', () => {
  it('the exit code and the remedy are those of the refusal', async () => {
    const cluster = new FakeCluster();
    cluster.refuse = drbdtsError('ERR_CLUSTER_MOVE', { values: { group: 'web', node: 'beta', reason: 'beta is in standby' } });
    const { code, stderr } = await on(cluster, 'move', 'web', 'beta');
    assert.equal(code, 11);
    assert.match(stderr, /group web can not go to beta: beta is in standby\n {2}See `drbdts cluster status`/);
  });
  for (const args of [['maintenance', 'maybe'], ['takeover', 'some'], ['move'], ['maintenance'], ['history', '--limit', '0'], ['history', '--limit', 'x'], ['move', 'web', '--timeout', '-1'], ['nonsense']]) {
    it(`usage: ${args.join(' ')}`, async () => {
      const cluster = new FakeCluster();
      const { code, stderr, stdout } = await on(cluster, ...args);
      assert.deepEqual([code, stdout, cluster.asked], [1, '', []]);
      assert.notEqual(stderr, '');
    });
  }
  it('no cluster manager: says so, and how to start it', async () => {
    for (const args of [['status'], ['status', '--watch'], ['history'], ['cleanup'], ['takeover']]) {
      const { code, stderr } = await runFake(['cluster', ...args]);
      assert.equal(code, 20, args.join(' '));
      assert.match(stderr, /drbdts-clusterd does not answer on \/nonexistent\/clusterd\.sock/);
      assert.match(stderr, /systemctl start drbdts-clusterd/);
    }
  });
});

describe('status and history', () => {
  it('a healthy cluster', () => {
    assert.deepEqual(formatClusterStatus(status()), [
      'cluster store, arbiter witness (r0: together)',
      'nodes:',
      '  alpha (this node)  online',
      '  beta               online  for 61 s',
      'links:',
      '  direct  up    heard 12 ms ago, longest gap 130 ms',
      'groups:',
      '  web: started on alpha',
      '    volume r0  started',
    ]);
  });
  it('everything that needs attention is said', () => {
    const text = formatClusterStatus(
      status({
        arbiter: { kind: 'none', unvouched: [], standings: {} },
        maintenance: true,
        links: [{ name: 'lan', state: 'dead', oneWay: true, silentMs: null, gapMaxMs: 0, rttMs: null, lost: 3 }],
        nodes: [{ name: 'alpha', state: 'standby', sinceMs: 0, pingLost: 2, sameConfiguration: true }],
        groups: [group({ phase: 'stopped', node: '', target: '', why: 'beta is not there', held: true, failure: 'start: exit code 1', failCount: 2, pinned: 'beta', members: [{ name: 'vip', kind: 'vip', phase: 'stopped', doing: 'start', reason: 'it is waited for' }] })],
        warnings: ['drbdtsd does not answer'],
      }),
    ).join('\n');
    for (const part of ['arbiter none, maintenance', 'alpha (this node)  standby', '2 ping targets lost', 'one-way', 'never heard', '3 lost', 'addresses are held back', 'nowhere: beta is not there', 'start: exit code 1', '2 failures', 'moved to beta by an operator', 'start under way; it is waited for', 'warning: drbdtsd does not answer']) {
      assert.ok(text.includes(part), `${part}\n${text}`);
    }
  });
  it('a group that runs on the other node, and one on the way there', () => {
    assert.ok(formatClusterStatus(status({ groups: [moved] })).includes('  web: started on beta; moved to beta by an operator'));
    assert.ok(formatClusterStatus(status({ groups: [moving] })).some((line) => line.includes('stopping on alpha; -> beta: it runs there')));
    assert.ok(formatClusterStatus(status({ groups: [] })).includes('  none'));
  });
  it('colours go with the state and never into the text of a file', () => {
    const paint = (tone: string, text: string): string => `<${tone}>${text}</>`;
    assert.ok(formatClusterStatus(status(), paint).some((line) => line.includes('<good>started</> on alpha')));
    const { length } = formatClusterStatus(status());
    assert.equal(formatClusterStatus(status(), paint).length, length);
  });
  it('ages', () => {
    assert.deepEqual([0, 999, 1000, 119_000, 120_000, 7_199_000, 7_200_000].map(formatAge), ['0 ms', '999 ms', '1 s', '119 s', '2 min', '120 min', '2 h']);
  });
  it('status --json is the status itself', async () => {
    const { stdout } = await runFake(['--json', 'cluster', 'status'], { cluster: new FakeCluster() });
    assert.deepEqual(JSON.parse(stdout), status());
  });
  it('history: one line each, and only as many as asked for', async () => {
    const cluster = new FakeCluster();
    cluster.entries = [{ time: '2026-01-01T00:00:00.000Z', node: 'alpha', group: 'web', level: 'warn', sentence: 'group web can run nowhere: why' }];
    const { stdout } = await on(cluster, 'history', '--limit', '7');
    assert.equal(stdout, '2026-01-01T00:00:00.000Z alpha: group web can run nowhere: why\n');
    assert.equal(cluster.limit, 7);
    assert.deepEqual(formatHistory([]), []);
  });
});

describe('check', () => {
  const finding = { code: 'CHECK_X', severity: 'error', place: '/f:1:2', message: 'it is wrong', remedy: 'Mend it.' } as const;
  it('findings with place, code and remedy; then the sum', () => {
    assert.deepEqual(formatCheckup({ file: '/f', node: 'alpha', findings: [finding, { ...finding, severity: 'warning' }], notes: ['volumes: drbdtsd does not answer'] }), [
      'error: /f:1:2: it is wrong [CHECK_X]',
      '  Mend it.',
      'warning: /f:1:2: it is wrong [CHECK_X]',
      '  Mend it.',
      'not checked: volumes: drbdtsd does not answer',
      '1 errors, 1 warnings on alpha',
    ]);
    assert.deepEqual(formatCheckup({ file: '/f', node: 'alpha', findings: [], notes: [] }), ['/f: OK on alpha']);
  });
  it('runs without any daemon, and its exit code is 10 with errors', async () => {
    const { code, stdout } = await runFake(['--json', '--node', 'master1', 'cluster', 'check', exampleFile.pathname]);
    const { findings } = JSON.parse(stdout) as { findings: { code: string; place: string }[] };
    assert.equal(code, 10);
    // nobody has this address
    assert.ok(findings.some((one) => one.code === 'CHECK_LINK_ADDRESS' && one.place.startsWith(`${exampleFile.pathname}:`)));
  });
  it('every code can be explained', async () => {
    const { code, stdout } = await runFake(['explain', 'CHECK_VIP_IN_USE']);
    assert.equal(code, 0);
    assert.equal(stdout, 'CHECK_VIP_IN_USE (error of drbdts cluster check)\nADDRESS is in use: OWNER answers for it\nFind out who that is; while somebody answers, the group does not start.\n');
    assert.equal((await runFake(['explain', 'CHECK_NOTHING'])).code, 1);
  });
  it('a file that is not there', async () => {
    const { code, stderr } = await runFake(['cluster', 'check', '/nonexistent.yaml']);
    assert.equal(code, 20);
    assert.match(stderr, /nonexistent\.yaml/);
  });
});
