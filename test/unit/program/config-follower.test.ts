import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import type { RelayConfig } from '../../../relay/config/config.ts';
import { ConfigFollower, type FollowerDeps } from '../../../relay/config-follower.ts';

const graceMs = 8000;

describe('a relay that is told to drain', () => {
  let accepts: boolean;
  let follower: ConfigFollower;
  const config = (draining: boolean): RelayConfig =>
    ({ draining, shutdown: { graceMs }, delivery: {}, listener: {} }) as unknown as RelayConfig;

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    accepts = true;
    const listener = {
      reconfigure: () => undefined,
      stopAccepting: () => {
        accepts = false;
      },
      resumeAccepting: () => {
        accepts = true;
      },
    };
    const delivery = { reconfigure: () => undefined, drain: () => undefined };
    const deps = { delivery, listener, spools: () => [], queue: {}, emit: () => undefined };
    follower = new ConfigFollower(config(false), deps as unknown as FollowerDeps);
  });
  afterEach(() => {
    follower.stop();
    mock.timers.reset();
  });

  test('takes mail for the grace time, and no longer where the configuration changes in it', () => {
    follower.follow(config(true));
    mock.timers.tick(graceMs - 1);
    assert.equal(accepts, true);
    follower.follow(config(true));
    mock.timers.tick(1);
    assert.equal(accepts, false);
    follower.follow(config(true));
    mock.timers.tick(graceMs);
    assert.equal(accepts, false);
  });

  test('takes mail again when it is called back, and has the grace time anew when it is told once more', () => {
    follower.follow(config(true));
    mock.timers.tick(graceMs);
    follower.follow(config(false));
    assert.equal(accepts, true);
    follower.follow(config(true));
    mock.timers.tick(graceMs - 1);
    assert.equal(accepts, true);
    mock.timers.tick(1);
    assert.equal(accepts, false);
  });
});
