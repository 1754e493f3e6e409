// No-op jobs through BullMQ: `node bullmq.js REDIS_PORT JOBS`. Prints {"per_second", "p50_ms", "p99_ms"}.
import { Queue, Worker } from "bullmq";

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const JOBS = Number(process.argv[3]);
const IDLE_JOBS = 200;
// Finished jobs are kept by default; removing them is what one does who wants it fast.
const queue = new Queue("noop", { connection, defaultJobOptions: { removeOnComplete: true } });

let begun = 0, first = 0, last = 0, heard = () => {};
const start = (concurrency) =>
  new Worker("noop", async () => {
    last = performance.now();
    if (begun++ === 0) first = last;
    heard();
  }, { connection, concurrency });

// A backlog that is there already, then one worker process; 100 at a time is where more gains nothing.
for (let added = 0; added < JOBS; added += 1000) {
  await queue.addBulk(Array.from({ length: Math.min(1000, JOBS - added) }, () => ({ name: "noop", data: {} })));
}
const all = new Promise((done) => { heard = () => begun === JOBS && done(); });
const busy = start(100);
await all;
const perSecond = (JOBS - 1) / ((last - first) / 1000);
await busy.close();

// Idle: from the answer of add to the start of the handler.
const idle = start(100);
await idle.waitUntilReady();
const waits = [];
for (let i = 0; i < IDLE_JOBS; i++) {
  await new Promise((done) => setTimeout(done, 5));
  let at;
  const started = new Promise((done) => { heard = () => { at = performance.now(); done(); }; });
  await queue.add("noop", {});
  const added = performance.now();
  await started;
  waits.push(Math.max(0, at - added));
}
waits.sort((a, b) => a - b);
await idle.close();
await queue.close();
const at = (share) => waits[Math.floor(waits.length * share)];
console.log(JSON.stringify({ per_second: perSecond, p50_ms: at(0.5), p99_ms: at(0.99) }));
