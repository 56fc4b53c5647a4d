// npm run demo [-- --keep]: the main path, played for a person to watch, with real git, a real git
// server over HTTP, a real PostgreSQL and one reconciler process for each ring.
import { existsSync } from 'node:fs';
import { podHealth } from './ring-pod.ts';
import { Show } from './show.ts';
import { type Stage, setStage } from './stage.ts';
import { playStory } from './story.ts';

const show = new Show();
show.step('A platform repository, a git server, a PostgreSQL and a reconciler for each ring');
const stage = await setStage(show, ['stable', 'edge', 'canary']);
const interrupted = () => void stage.close().then(() => process.exit(130));
process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
try {
  await playStory(stage, show);
} catch (error) {
  show.expect(false, error instanceof Error ? error.message : String(error));
}
if (process.argv.includes('--keep')) await keepUp(stage);
await stage.close();
await expectNothingLeft(stage);
if (show.failures.length > 0) {
  console.log(`\n${show.failures.length} of the promises above did not hold.`);
  process.exitCode = 1;
}

async function keepUp({ checkout, repositoryUrl, databaseUrl, pods }: Stage): Promise<void> {
  console.log('\nEverything stays up until Ctrl-C:');
  console.log(`  checkout    ${checkout}`);
  console.log(`  repository  ${repositoryUrl}`);
  console.log(`  PostgreSQL  ${databaseUrl}`);
  for (const { ring, url, root } of pods) {
    console.log(`  ${ring.padEnd(10)}  ${url}/api/health  ${root}/current`);
  }
  process.removeListener('SIGINT', interrupted).removeListener('SIGTERM', interrupted);
  await new Promise((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve));
}

async function expectNothingLeft({ directory, pods }: Stage): Promise<void> {
  const answering = (await Promise.all(pods.map(podHealth))).filter((health) => health);
  if (answering.length > 0) show.expect(false, 'no reconciler runs on');
  if (existsSync(directory)) show.expect(false, `${directory} is gone`);
}
