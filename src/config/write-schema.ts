/** Writes resources/drbdts.schema.json from the schema: `node dist/src/config/write-schema.js`. A test checks that it is current. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { jsonSchema } from './schema.js';

const file = fileURLToPath(new URL('../../../resources/drbdts.schema.json', import.meta.url));
writeFileSync(file, `${JSON.stringify(jsonSchema(), null, 2)}\n`);
