// No-op jobs through graphile-worker, on the database of DATABASE_URL, with its settings for the highest rate. The commands
// are those of bullmq.js.
import { run, makeWorkerUtils, Logger } from "graphile-worker";

const [verb, argument] = process.argv.slice(2);
const connectionString = process.env.DATABASE_URL;
// It logs two lines for each job.
const logger = new Logger(() => () => {});
// The clock of the machine, so that times of two processes can be compared.
const now = () => performance.timeOrigin + performance.now();
const say = (number, at) => console.log(`${number} ${at}`);

if (verb === "work") {
  const worker = {
    connectionString, concurrentJobs: 24, maxPoolSize: 20, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0,
  };
  const runner = await run({
    preset: { worker }, logger, noHandleSignals: true, noPreparedStatements: false,
    taskList: { noop: async ({ number }) => { if (number !== undefined) say(number, now()); } },
  });
  await runner.promise;
} else {
  const utils = await makeWorkerUtils({ connectionString, logger });
  const jobs = Number(argument);
  if (verb === "push") {
    await utils.migrate();
    for (let pushed = 0; pushed < jobs; pushed += 1000) {
      await utils.addJobs(Array.from({ length: Math.min(1000, jobs - pushed) }, () => ({ identifier: "noop", payload: {} })));
    }
  } else {
    for (let number = 0; number < jobs; number++) {
      const at = now();
      await utils.addJob("noop", { number });
      say(number, at);
      await new Promise((done) => setTimeout(done, 10)); // Let the worker wait again.
    }
  }
  await utils.release();
}
