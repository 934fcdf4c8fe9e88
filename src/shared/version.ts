/** The version in package.json, read once. The protocol versions are those the engine speaks. */
import { readFileSync } from 'node:fs';

const found = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string };

export const version: string = found.version;
export const protocolVersions = { min: 100, max: 101 } as const;
