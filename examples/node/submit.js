// Submit a task with celery-node, a stock Celery client: node submit.js BROKER
const celery = require("celery-node");

const broker = process.argv[2];
const client = celery.createClient(broker, broker, "buckstop:submit");

const message = client.createTask("buckstop.submit").applyAsync([], {
  goal: "otters",
  agent: "research",
  budget: { tokens: 5000 },
  timeout: "5m",
  until: { kind: "plan_done" },
});

message
  .get(10000, 100) // at most ten seconds, and a look every 100 ms
  .then((answer) => console.log(answer.task))
  .catch((refused) => {
    console.error(refused.exc_message[0]); // what is wrong, field by field
    process.exitCode = 1;
  })
  .finally(() => client.disconnect());
