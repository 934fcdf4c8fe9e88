#!/usr/bin/env node
/** drbdts: the command line. */
import { runAsProcess } from './process.js';

await runAsProcess('drbdts');
