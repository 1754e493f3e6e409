// No-op jobs through BullMQ, told by REDIS_URL where. `node bullmq.js push JOBS` writes a backlog; `work NAME` carries
// jobs out until it is killed, and says when a numbered one starts; `one-by-one JOBS` pushes numbered ones and says when
// it began to.
import { Queue, Worker } from "bullmq";

const [verb, argument] = process.argv.slice(2);
const { hostname: host, port } = new URL(process.env.REDIS_URL);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
// More at a time gains nothing.
const CONCURRENCY = 100;
// The clock of the machine, so that two processes can compare.
const now = () => performance.timeOrigin + performance.now();
const say = (number, at) => console.log(`${number} ${at}`);

if (verb === "work") {
  new Worker("noop", async ({ data }) => { if ("number" in data) say(data.number, now()); }, { connection, concurrency: CONCURRENCY });
} else {
  // Finished jobs are kept by default; removing them is what one does who wants it fast.
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
      await new Promise((done) => setTimeout(done, 10)); // The worker is to wait again.
    }
  }
  await queue.close();
}
