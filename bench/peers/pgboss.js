// No-op jobs through pg-boss, on the database of DATABASE_URL. The commands are those of bullmq.js.
import PgBoss from "pg-boss";

const [verb, argument] = process.argv.slice(2);
const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, supervise: false, schedule: false });
boss.on("error", console.error);
// The clock of the machine, so that times of two processes can be compared.
const now = () => performance.timeOrigin + performance.now();
const say = (number, at) => console.log(`${number} ${at}`);
const run = async (jobs) => { for (const { data } of jobs) if (data && "number" in data) say(data.number, now()); };

await boss.start();
await boss.createQueue("noop");
if (verb === "work") {
  // Half a second is the shortest time between two polls, but a worker whose batch was full polls again at once.
  for (let worker = 0; worker < 4; worker++) await boss.work("noop", { batchSize: 500, pollingIntervalSeconds: 0.5 }, run);
} else {
  const jobs = Number(argument);
  if (verb === "push") {
    for (let pushed = 0; pushed < jobs; pushed += 1000) {
      await boss.insert(Array.from({ length: Math.min(1000, jobs - pushed) }, () => ({ name: "noop" })));
    }
  } else {
    for (let number = 0; number < jobs; number++) {
      const at = now();
      await boss.send("noop", { number });
      say(number, at);
      await new Promise((done) => setTimeout(done, 10)); // Let the worker wait again.
    }
  }
  await boss.stop();
}
