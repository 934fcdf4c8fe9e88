import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { initialMembership, type MembershipState, membershipView, stepMembership, tickMs } from '../../../src/cluster/membership.js';
import type { Heartbeat, MembershipAction, MembershipConfig, MembershipEvent } from '../../../src/cluster/membership-types.js';

const timing = { keepaliveMs: 100, warntimeMs: 300, deadtimeMs: 600, initdeadMs: 2000 };

/** A node in hand: its machine, what it said and what it sent last. */
class Node {
  readonly config: MembershipConfig;
  state: MembershipState;
  now = 0;
  actions: MembershipAction[] = [];
  outbox: { heartbeat: Heartbeat; withReport: boolean }[] = [];
  /** what the peer gets as this node's report. */
  said: unknown = null;

  constructor(self: string, peer: string, boot: string, nowMs = 0, links = ['l0', 'l1']) {
    this.config = { cluster: 'c', self, peer, links, ...timing };
    this.now = nowMs;
    this.state = initialMembership(this.config, boot.repeat(32), nowMs);
  }

  do(event: MembershipEvent): MembershipAction[] {
    const { state, actions } = stepMembership(this.state, event, this.now);
    this.state = state;
    this.actions.push(...actions);
    for (const action of actions)
      if (action.kind === 'send') this.outbox.push(...action.heartbeats.map((heartbeat) => ({ heartbeat, withReport: action.withReport })));
    return actions;
  }

  report(said: unknown, bytes = 10): void {
    this.said = said;
    this.do({ kind: 'report', bytes });
  }

  get view() {
    return membershipView(this.state, this.now);
  }

  get log(): string[] {
    return this.actions.flatMap((action) => (action.kind === 'log' ? [action.text] : []));
  }

  kinds(kind: MembershipAction['kind']): number {
    return this.actions.filter((action) => action.kind === kind).length;
  }
}

/** Lets `ms` pass; `passes` says what gets through. */
function live(nodes: Node[], ms: number, passes: (from: Node, heartbeat: Heartbeat) => boolean = () => true): void {
  const start = nodes[0]?.now ?? 0;
  for (let t = start; t < start + ms; t += tickMs({ ...timing } as MembershipConfig)) {
    for (const node of nodes) {
      node.now = t;
      node.do({ kind: 'tick' });
    }
    for (let round = 0; round < 4; round++) {
      for (const from of nodes) {
        const letters = from.outbox.splice(0);
        for (const { heartbeat, withReport } of letters)
          for (const to of nodes)
            if (to !== from && passes(from, heartbeat))
              to.do({ kind: 'packet', link: heartbeat.link, heartbeat, report: withReport ? { value: from.said } : null });
      }
    }
  }
  for (const node of nodes) node.now = start + ms;
}

function pair(): [Node, Node] {
  return [new Node('a', 'b', '1'), new Node('b', 'a', '2')];
}

describe('membership', () => {
  it('two nodes meet at once, on all links, and each holds the report of the other', () => {
    const [a, b] = pair();
    a.report({ serves: 'web' });
    b.report({ serves: 'nothing' });
    live([a, b], 200);
    assert.equal(a.view.peer, 'alive');
    assert.deepEqual(b.view.report, { serves: 'web' });
    assert.deepEqual(a.view.links.map((link) => link.state), ['up', 'up']);
    assert.equal(a.view.confirmedVersion, a.view.ownVersion);
    assert.deepEqual(a.view.warnings, []);
  });

  it('a change of the report is confirmed within one round trip, without waiting for the next heartbeat', () => {
    const [a, b] = pair();
    live([a, b], 200);
    a.report('claim');
    assert.equal(a.view.confirmedVersion, 0);
    live([a, b], 25);
    assert.equal(a.view.confirmedVersion, 1);
    assert.equal(b.view.report, 'claim');
  });

  it('a peer that was never heard is unknown until initdead, then dead', () => {
    const a = new Node('a', 'b', '1');
    live([a], 1900);
    assert.equal(a.view.peer, 'unknown');
    live([a], 200);
    assert.equal(a.view.peer, 'dead');
    assert.match(a.log.join('\n'), /b was not heard within initdead \(2000 ms\)/);
  });

  it('silence longer than warntime asks the replication link, longer than deadtime is death', () => {
    const [a, b] = pair();
    live([a, b], 500);
    live([a], 175);
    assert.equal(a.kinds('checkReplication'), 0);
    live([a], 325);
    assert.ok(a.kinds('checkReplication') >= 2);
    assert.equal(a.view.peer, 'alive');
    live([a], 100);
    assert.equal(a.view.peer, 'dead');
    assert.match(a.log.join('\n'), /b is dead: nothing heard for \d+ ms on any link \(deadtime 600 ms\)/);
  });

  it('a peer that the replication link shows is alive, with a warning, until that link is silent too', () => {
    const [a, b] = pair();
    live([a, b], 500);
    for (let i = 0; i < 20; i++) {
      live([a], 100);
      a.do({ kind: 'replication', sign: 'alive' });
    }
    assert.equal(a.view.peer, 'alive');
    assert.equal(a.view.byReplicationOnly, true);
    assert.match(a.view.warnings.join('\n'), /only the replication link/);
    assert.deepEqual(a.view.links.map((link) => link.state), ['dead', 'dead']);
    a.do({ kind: 'replication', sign: 'dead' });
    assert.equal(a.view.peer, 'dead');
    assert.equal(a.view.byReplicationOnly, false);
  });

  it('a goodbye is not a death, and the next start is a new life', () => {
    const [a, b] = pair();
    live([a, b], 500);
    b.do({ kind: 'goodbye' });
    live([a, b], 25);
    assert.equal(a.view.peer, 'left');
    live([a], 5000);
    assert.equal(a.view.peer, 'left');
    const again = new Node('b', 'a', '3', a.now);
    live([a, again], 200);
    assert.equal(a.view.peer, 'alive');
    assert.equal(a.view.boot, '3'.repeat(32));
  });

  it('a restart within deadtime is seen by its boot; what the old one confirmed and said is forgotten', () => {
    const [a, b] = pair();
    a.report('x');
    b.report('old life');
    live([a, b], 500);
    const again = new Node('b', 'a', '3', a.now);
    live([a, again], 200);
    assert.equal(a.view.peer, 'alive');
    assert.equal(a.view.boot, '3'.repeat(32));
    assert.equal(a.view.report, null);
    assert.equal(a.view.confirmedVersion, 1);
    assert.match(a.log.join('\n'), /the cluster manager of b has been restarted/);
    assert.equal(a.view.gapMaxMs < 300, true);
  });

  it('one link cut: still alive, the link is named, and named again when it is back', () => {
    const [a, b] = pair();
    live([a, b], 500);
    live([a, b], 1000, (_, { link }) => link === 'l0');
    assert.equal(a.view.peer, 'alive');
    assert.deepEqual(a.view.links.map((link) => link.state), ['up', 'dead']);
    assert.deepEqual(a.view.warnings, ['link l1 is down']);
    live([a, b], 300);
    assert.deepEqual(a.view.links.map((link) => link.state), ['up', 'up']);
    assert.match(a.log.join('\n'), /link l1 to b is down: .*link l1 to b is up again/s);
    assert.ok((a.view.links[1]?.lost ?? 0) >= 9);
  });

  it('one direction of one link cut: the side that is not heard says so', () => {
    const [a, b] = pair();
    live([a, b], 2000);
    live([a, b], 2000, (from, { link }) => !(from === a && link === 'l1'));
    assert.equal(a.view.peer, 'alive');
    assert.equal(a.view.links[1]?.oneWay, true);
    assert.equal(a.view.links[1]?.state, 'up');
    assert.equal(b.view.links[1]?.state, 'dead');
    assert.match(a.log.join('\n'), /link l1 is one-way: b is heard on it and does not hear us/);
  });

  it('a one-way network is the same for both: the one that is not heard does not think that it is', () => {
    const [a, b] = pair();
    live([a, b], 2000);
    live([a, b], 2000, (from) => from !== a);
    assert.equal(b.view.peer, 'dead');
    assert.equal(a.view.peer, 'dead');
    assert.equal(a.view.deaf, true);
    live([a, b], 400);
    assert.equal(a.view.peer, 'alive');
    assert.equal(b.view.peer, 'alive');
    assert.equal(a.view.deaf, false);
    assert.match(a.log.join('\n'), /b is back on link l0 after \d+ ms and has not been restarted/);
  });

  it('links crossed by one-way cuts still make one that works', () => {
    const [a, b] = pair();
    live([a, b], 2000);
    live([a, b], 3000, (from, { link }) => (from === a ? link === 'l0' : link === 'l1'));
    assert.equal(a.view.peer, 'alive');
    assert.equal(b.view.peer, 'alive');
  });

  it('who stood still says so before anything else and gives its peer the whole deadtime again', () => {
    const [a, b] = pair();
    live([a, b], 500);
    a.now += 5000;
    assert.deepEqual(a.do({ kind: 'replication', sign: 'unknown' })[0], { kind: 'stalled', forMs: 5025 });
    assert.equal(a.view.peer, 'alive');
    live([a], 550);
    assert.equal(a.view.peer, 'alive');
    live([a], 100);
    assert.equal(a.view.peer, 'dead');
    assert.equal(a.kinds('stalled'), 1);
  });

  it('a long gap gives the warning with the deadtime to use', () => {
    const [a, b] = pair();
    live([a, b], 1000);
    live([a, b], 350, () => false);
    live([a, b], 1000);
    assert.equal(a.view.peer, 'alive');
    assert.match(a.log.join('\n'), /late heartbeat of b: \d+ ms on all links \(warntime 300 ms, deadtime 600 ms\)/);
    assert.match(a.view.warnings[0] ?? '', /^deadtime 600 ms is close to what this network really does: largest gap [345]\d\d ms in the last hour, use at least (8|9|10|11|12)00 ms$/);
    // an hour later it is forgotten
    live([a, b], 61 * 60_000);
    assert.deepEqual(a.view.warnings, []);
  });

  it('a large report does not make heartbeats large for longer than needed', () => {
    const [a, b] = pair();
    live([a, b], 300);
    a.report('much', 5000);
    const before = a.actions.length;
    live([a, b], 1000);
    const large = a.actions.slice(before).filter((action) => action.kind === 'send' && action.withReport);
    assert.equal(b.view.report, 'much');
    assert.ok(large.length <= 1);
  });

  it('two nodes with the own name prove each other; an old heartbeat of ours only raises a suspicion', () => {
    const [a, b] = pair();
    const twin = new Node('a', 'b', '9');
    live([a, b], 300);
    const first = a.outbox.length;
    assert.equal(first, 0);
    const old: Heartbeat = { cluster: 'c', node: 'a', link: 'l0', boot: '7'.repeat(32), sequence: 5, reportVersion: 0, goodbye: false, echo: null, rival: null };
    a.do({ kind: 'packet', link: 'l0', heartbeat: old, report: null });
    assert.equal(a.view.twins, 'own name suspected');
    live([a, b, twin], 1000);
    assert.equal(a.view.twins, 'own name');
    assert.equal(twin.view.twins, 'own name');
    assert.equal(b.view.twins, 'peer name');
    assert.match(a.log.join('\n'), /another node calls itself a, with the right key/);
    assert.match(b.log.join('\n'), /two nodes call themselves a/);
    assert.equal(a.actions.filter((action) => action.kind === 'refused').length > 0, true);
  });

  it('a packet of the life before that was overtaken changes nothing and makes nobody a twin', () => {
    const [a, b] = pair();
    live([a, b], 300);
    // of a start of b that ended at once; it comes in when the next one is known
    const short = new Node('b', 'a', '5', a.now);
    const letters: Heartbeat[] = [];
    live([a, short], 125, (from, heartbeat) => {
      if (from === short) letters.push(heartbeat);
      return from === a;
    });
    const next = new Node('b', 'a', '6', a.now);
    live([a, next], 200);
    assert.equal(a.view.boot, '6'.repeat(32));
    for (const heartbeat of letters) a.do({ kind: 'packet', link: heartbeat.link, heartbeat, report: null });
    live([a, next], 300);
    assert.equal(a.view.boot, '6'.repeat(32));
    assert.equal(a.view.twins, 'none');
  });

  it('strangers, exchanged cables and impossible echoes are refused by name', () => {
    const [a, b] = pair();
    live([a, b], 300);
    b.now = a.now += 25;
    b.do({ kind: 'report', bytes: 1 });
    const heartbeat = b.outbox[0]?.heartbeat as Heartbeat;
    const refused = (change: Partial<Heartbeat>, link = 'l0'): string => {
      const action = a.do({ kind: 'packet', link, heartbeat: { ...heartbeat, ...change }, report: null }).find((each) => each.kind === 'refused');
      return action?.kind === 'refused' ? action.reason : 'taken';
    };
    assert.equal(refused({ node: 'c' }), 'stranger');
    assert.equal(refused({}, 'l1'), 'wrong link');
    assert.equal(refused({ echo: { boot: '1'.repeat(32), heldUs: 0, reportVersion: 0, links: [{ name: 'l0', sequence: 9999 }] } }), 'impossible');
    assert.equal(refused({}), 'taken');
    assert.equal(refused({}), 'replay');
  });
});
