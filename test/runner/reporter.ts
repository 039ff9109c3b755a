/**
 * A reporter for node's test runner that writes one line of JSON for each test:
 * what came of it, and why it was skipped. Suites are no tests and are left out.
 */
import type { TestEvent } from 'node:test/reporters';

/** What came of one test. */
export type TestResult = {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped, when it says so. */
  readonly reason?: string;
};

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const result = resultOf(event);
    if (result) yield `${JSON.stringify(result)}\n`;
  }
}

function resultOf({
  type,
  data,
}: Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>): TestResult | undefined {
  const { name, skip, todo } = data;
  const failed = type === 'test:fail' && todo === undefined;
  if (data.details.type === 'suite') {
    return failed && !ownTestsFailed(data.details)
      ? { name: `${name} (before, after)`, outcome: 'failed' }
      : undefined;
  }
  const excuse = skip ?? todo;
  if (excuse === undefined) return { name, outcome: failed ? 'failed' : 'passed' };
  return { name, outcome: 'skipped', ...(typeof excuse === 'string' && { reason: excuse }) };
}

/** A suite also fails when one of its tests has, which is counted already; else one of its hooks did. */
function ownTestsFailed(details: object): boolean {
  const error = 'error' in details ? details.error : undefined;
  return error instanceof Error && 'failureType' in error && error.failureType === 'subtestsFailed';
}
