/**
 * Writes what is derived from the schema: resources/drbdts.schema.json and the option tables of resources/docs/configuration.md.
 * `node dist/src/config/write-schema.js`; a test checks that both are current.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { optionReference } from './reference.js';
import { jsonSchema } from './schema.js';

const resources = new URL('../../../resources/', import.meta.url);
writeFileSync(fileURLToPath(new URL('drbdts.schema.json', resources)), `${JSON.stringify(jsonSchema(), null, 2)}\n`);

const page = fileURLToPath(new URL('docs/configuration.md', resources));
const [head = '', , tail = ''] = readFileSync(page, 'utf8').split(/<!-- options -->\n|<!-- end of options -->/);
writeFileSync(page, `${head}<!-- options -->\n${optionReference()}<!-- end of options -->${tail}`);
