/** Virtual routers against this host: interfaces, and networks in which their addresses lie. Pure. */
import type { KeyPath } from '../config/places.js';
import { ownerPriority, vrrpPartOf } from '../config/vrrp-types.js';
import { isInNetwork } from '../shared/network.js';
import { judgeInterface } from './judge-network.js';
import type { Scene } from './scene.js';

export function judgeVrrp(scene: Scene): void {
  const { config, node, facts, report } = scene;
  for (const instance of config.vrrp?.instances ?? []) {
    const part = vrrpPartOf(instance, node);
    if (part === null) continue;
    const path: KeyPath = ['vrrp', 'instances', instance.name];
    if (!judgeInterface(scene, part.interface, [...path, 'interface'])) continue;
    instance.addresses.forEach(({ address, family, prefix, interfaces }, index) => {
      const at = [...path, 'addresses', index];
      const name = interfaces[node] || part.interface;
      if (name !== part.interface && !judgeInterface(scene, name, at)) return;
      const here = facts.addresses.find((own) => own.address === address);
      if (here?.permanent === true && part.priority !== ownerPriority) report('CHECK_VIP_PERMANENT', at, { address, prefix: here.prefix, interface: here.interface });
      // link-local networks are on every interface
      if (/^fe[89ab]/i.test(address)) return;
      const own = facts.addresses.filter((one) => one.interface === name && one.family === family && one.permanent && one.address !== address);
      const inside = own.find((one) => one.prefix < (family === 4 ? 32 : 128) && isInNetwork(family, address, one.address, one.prefix));
      if (inside === undefined) report('CHECK_VIP_NETWORK', at, { address, interface: name, networks: own.map((one) => `${one.address}/${one.prefix} on ${one.interface}`).join(', ') || 'none' });
      else if (prefix !== inside.prefix && prefix !== (family === 4 ? 32 : 128)) report('CHECK_VIP_PREFIX', at, { address, prefix, network: inside.prefix, interface: name });
    });
  }
}
