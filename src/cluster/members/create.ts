/** The member of a configuration entry. */
import type { MemberConfig } from '../../config/cluster-types.js';
import { Filesystem } from './filesystem.js';
import type { Member, MemberContext } from './member.js';
import { Service } from './service.js';
import { Vip } from './vip.js';
import { Volume } from './volume.js';

export function createMember(config: MemberConfig, context: MemberContext): Member {
  switch (config.kind) {
    case 'volume':
      return new Volume(config, context);
    case 'filesystem':
      return new Filesystem(config, context);
    case 'vip':
      return new Vip(config, context);
    case 'service':
      return new Service(config, context);
  }
}
