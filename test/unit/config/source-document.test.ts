import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compiled } from './memory-sources.ts';
import { aliyun, amazonSes, gmail, listOfOne, oldForm, threeProviders } from './source-document.ts';

function summary(text: string) {
  return compiled(text).providers.map(({ name, host, port, ssl, priority, credentials }) => ({
    name,
    host,
    port,
    ssl,
    priority,
    credentials,
  }));
}

describe('the JSON examples of the source document, to the letter', () => {
  test('three providers are tried in the order of their priorities', () => {
    assert.deepEqual(summary(threeProviders), [
      {
        name: 'smtp.primary.com',
        host: 'smtp.primary.com',
        port: 587,
        ssl: false,
        priority: 0,
        credentials: { username: 'user@primary.com', password: 'password1' },
      },
      {
        name: 'smtp.backup.com',
        host: 'smtp.backup.com',
        port: 587,
        ssl: false,
        priority: 1,
        credentials: { username: 'user@backup.com', password: 'password2' },
      },
      {
        name: 'smtp.emergency.com',
        host: 'smtp.emergency.com',
        port: 465,
        ssl: true,
        priority: 2,
        credentials: { username: 'user@emergency.com', password: 'password3' },
      },
    ]);
    const config = compiled(threeProviders);
    assert.equal(config.forwarding, true, 'forwardSMTP absent with providers counts as true');
    assert.deepEqual(config.warnings, []);
    assert.equal(config.retry.attempts, 3);
    assert.deepEqual([config.retry.initialDelayMs, config.retry.multiplier], [1000, 2]);
  });

  for (const [title, fragment, host, port, ssl, priority] of [
    ['Gmail', gmail, 'smtp.gmail.com', 587, false, 0],
    ['Aliyun', aliyun, 'smtp.qiye.aliyun.com', 465, true, 1],
    ['Amazon SES', amazonSes, 'email-smtp.us-east-1.amazonaws.com', 587, false, 2],
  ] as const) {
    test(`the ${title} provider is accepted without a warning`, () => {
      const config = compiled(`{"forwardProviders": [${fragment}]}`);
      const [provider] = config.providers;
      assert.deepEqual(
        [provider?.host, provider?.port, provider?.ssl, provider?.priority],
        [host, port, ssl, priority],
      );
      assert.ok(provider?.credentials?.username && provider.credentials.password);
      assert.deepEqual(config.warnings, []);
    });
  }

  test('the old single form and a list of one mean the same', () => {
    assert.deepEqual(summary(oldForm), summary(listOfOne));
    assert.deepEqual(summary(oldForm), [
      {
        name: 'smtp.example.com',
        host: 'smtp.example.com',
        port: 587,
        ssl: false,
        priority: 0,
        credentials: { username: 'user@example.com', password: 'password' },
      },
    ]);
    assert.equal(compiled(oldForm).forwarding, true);
    assert.deepEqual(compiled(oldForm).warnings, []);
  });

  test('where both forms are present the list wins, with a warning', () => {
    const both = `{"forwardHost": "old.example.com", "forwardPort": 25, ${threeProviders.trim().slice(1)}`;
    assert.deepEqual(
      summary(both).map(provider => provider.host),
      ['smtp.primary.com', 'smtp.backup.com', 'smtp.emergency.com'],
    );
    assert.deepEqual(compiled(both).warnings, [
      'forwardHost: is ignored: forwardProviders is given too, and wins',
    ]);
  });

  test('forwardSMTP false switches both forms off', () => {
    assert.equal(compiled(oldForm.replace('true,', 'false,')).forwarding, false);
    assert.equal(compiled(listOfOne.replace('true,', 'false,')).forwarding, false);
  });
});
