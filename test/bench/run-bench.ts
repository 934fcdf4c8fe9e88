/** The end of every benchmark's main: a lab that is taken down whatever happens, and the exit status. */
import { Lab } from '../support/lab.js';

/** Never returns. Exit status 0: `bench` resolved with true; 3: with false; 1: it can not run here (`unavailable` says why), or failed. */
export async function runBench(name: string, unavailable: string | false, bench: (lab: Lab) => Promise<boolean>): Promise<never> {
  if (unavailable !== false) {
    console.log(`the benchmark can not run here: ${unavailable}`);
    process.exit(1);
  }
  const lab = new Lab(name);
  let code = 1;
  try {
    code = (await bench(lab)) ? 0 : 3;
  } catch (error) {
    console.log(error instanceof Error ? (lab.explain(error) as Error).message : String(error));
  } finally {
    await lab.close().catch((error: unknown) => console.log(String(error)));
  }
  process.exit(code);
}
