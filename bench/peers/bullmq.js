// No-op jobs through BullMQ, on the Redis of REDIS_URL. `node bullmq.js push JOBS` writes a backlog. `work NAME` runs jobs until
// it is killed, and prints when a numbered job starts. `one-by-one JOBS` pushes numbered jobs, and prints when each push
// begins.
import { Queue, Worker } from "bullmq";

const [verb, argument] = process.argv.slice(2);
const { hostname: host, port } = new URL(process.env.REDIS_URL);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
// A higher concurrency is not faster.
const CONCURRENCY = 100;
// The clock of the machine, so that times of two processes can be compared.
const now = () => performance.timeOrigin + performance.now();
const say = (number, at) => console.log(`${number} ${at}`);

if (verb === "work") {
  new Worker("noop", async ({ data }) => { if ("number" in data) say(data.number, now()); }, { connection, concurrency: CONCURRENCY });
} else {
  // BullMQ keeps finished jobs by default. Removing them is faster.
  const queue = new Queue("noop", { connection, defaultJobOptions: { removeOnComplete: true } });
  const jobs = Number(argument);
  if (verb === "push") {
    for (let pushed = 0; pushed < jobs; pushed += 1000) {
      await queue.addBulk(Array.from({ length: Math.min(1000, jobs - pushed) }, () => ({ name: "noop", data: {} })));
    }
  } else {
    for (let number = 0; number < jobs; number++) {
      const at = now();
      await queue.add("noop", { number });
      say(number, at);
      await new Promise((done) => setTimeout(done, 10)); // Let the worker wait again.
    }
  }
  await queue.close();
}
