/** Configurations for tests of VRRP; `change` replaces what matters. */
import type { VrrpConfig } from '../../../../src/cluster/vrrp/types.js';

export function vrrpConfig(change: Partial<VrrpConfig> = {}): VrrpConfig {
  return {
    name: 'web', interface: 'eth0', family: 4, version: 2, vrid: 171, priority: 100, intervalMs: 1000,
    addresses: [{ address: '10.16.8.100', prefixLength: 24, interface: null, advertised: true }],
    password: null, transport: { kind: 'multicast', group: '224.0.0.18' }, pseudoHeader: true, acceptChecksum: 'either', addressMismatch: 'refuse',
    preempt: true, preemptDelayMs: 0, startDelayMs: 0, downAdverts: 3, answerLower: true, answerHigher: false, ownerIgnoresAdverts: false,
    announce: { frames: 5, repeatAfterMs: 5000, lowerFrames: 5, lowerRepeatAfterMs: 5000, refreshMs: 0, refreshFrames: 1 },
    gate: null, ...change,
  };
}

export function address(text: string, prefixLength = 24): VrrpConfig['addresses'][number] {
  return { address: text, prefixLength, interface: null, advertised: true };
}

export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

export function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}
