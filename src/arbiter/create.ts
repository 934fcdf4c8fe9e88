/** The arbiter a configuration asks for. */
import type { ArbiterConfig } from '../config/cluster-types.js';
import { asDrbdtsError } from '../shared/errors.js';
import type { Arbiter } from './arbiter.js';
import { readKeyFile } from './key-file.js';
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
      default:
        throw new Error(`no arbiter of kind ${config.kind}`);
    }
  } catch (error) {
    return new BrokenArbiter(config.kind, asDrbdtsError(error));
  }
}
