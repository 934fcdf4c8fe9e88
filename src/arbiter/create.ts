/** The arbiter a configuration asks for. */
import { readFileSync } from 'node:fs';
import type { ArbiterConfig } from '../config/cluster-types.js';
import { asDrbdtsError } from '../shared/errors.js';
import type { Arbiter } from './arbiter.js';
import { EtcdArbiter } from './etcd.js';
import { readKeyFile, readSecretFile } from './key-file.js';
import { StonithArbiter } from './stonith.js';
import { WitnessArbiter } from './witness-client.js';

export interface ArbiterSurroundings {
  /** name of the cluster. */
  cluster: string;
  node: string;
  peer: string;
  /** folder for what an arbiter has to remember on this node, across boots. */
  directory: string;
}

/** An arbiter that can not work: every question is answered with why. The rest of the daemon goes on. */
class BrokenArbiter implements Arbiter {
  readonly kind: Arbiter['kind'];
  private readonly error: Error;

  constructor(kind: Arbiter['kind'], error: Error) {
    this.kind = kind;
    this.error = error;
  }

  async ask(): Promise<never> {
    throw this.error;
  }

  async test(): Promise<never> {
    throw this.error;
  }

  close(): void {
    // nothing is open
  }
}

/** null for `none`. Never throws: what is wrong with keys and files is what the arbiter answers. */
export function createArbiter(config: ArbiterConfig, around: ArbiterSurroundings): Arbiter | null {
  try {
    switch (config.kind) {
      case 'none':
        return null;
      case 'witness':
        return new WitnessArbiter({
          address: config.address,
          cluster: around.cluster,
          key: readKeyFile(config.keyFile),
          timeoutMs: config.timeoutMs,
        });
      case 'etcd':
        return new EtcdArbiter({
          ...{ endpoints: config.endpoints, prefix: config.prefix, user: config.user, timeoutMs: config.timeoutMs },
          password: config.passwordFile === '' ? '' : readSecretFile(config.passwordFile),
          ca: config.caFile === '' ? null : readFileSync(config.caFile),
          ...{ cluster: around.cluster, node: around.node, directory: around.directory },
        });
      case 'stonith':
        return new StonithArbiter({
          ...{ agent: config.agent, parameters: config.targets[around.peer] ?? {}, timeoutMs: config.timeoutMs },
          ...{ node: around.node, peer: around.peer, directory: around.directory },
        });
    }
  } catch (error) {
    return new BrokenArbiter(config.kind, asDrbdtsError(error));
  }
}
