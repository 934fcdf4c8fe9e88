#!/usr/bin/env node
/** drbdadm: the same command line for scripts that were written for DRBD, such as heartbeat's drbddisk. */
import { runAsProcess } from './process.js';

await runAsProcess('drbdadm');
