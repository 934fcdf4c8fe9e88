/** Prints a line whenever one of the addresses given comes or goes in this network namespace: time since boot in ms, then those that are there. */
import { loadNet } from '../../src/cluster/net-native.js';

const wanted = process.argv.slice(2);
const net = loadNet();
let last: string | null = null;

function look(): void {
  const present = net.addresses().map(({ address }) => address);
  const here = wanted.filter((address) => present.includes(address)).join(' ');
  if (here === last) return;
  last = here;
  process.stdout.write(`${Number(net.bootTimeNs()) / 1e6} ${here}\n`);
}

net.monitor(look, (error) => {
  throw error;
});
setInterval(look, 25);
look();
