/**
 * Which pods run the configuration as it is wanted, and why the others do not,
 * in words. A pod that does not answer any more proves nothing by what it said
 * once. Pure.
 */
import packageJson from '../../package.json' with { type: 'json' };
import type { Observation } from './observation.ts';
import type { PodReport } from './pod-reports.ts';

/** Pods named in one message; what is wrong is mostly the same for all. */
const mostNamed = 3;

export interface Loading {
  readonly loaded: number;
  readonly all: number;
}

/** Pods that have loaded the wanted configuration, of all that are wanted or run. */
export function loadedReplicas({ reports, fingerprint, workload }: Observation): Loading {
  const loaded = reports.filter(report => hasLoaded(report, fingerprint)).length;
  return { loaded, all: Math.max(reports.length, workload?.desired ?? 0) };
}

/** `1 of 2 pods run configuration 5b0c…: pod mail-1 refused it …; …`. */
export function loadingSentence(seen: Observation): string {
  const { reports, fingerprint } = seen;
  const { loaded, all } = loadedReplicas(seen);
  const behind = reports
    .filter(report => !hasLoaded(report, fingerprint))
    .sort((a, b) => (a.pod < b.pod ? -1 : 1));
  const named = behind.slice(0, mostNamed).map(report => `pod ${report.pod} ${whyNot(report)}`);
  const more = behind.length > mostNamed ? [`and ${behind.length - mostNamed} more pods do not run it`] : [];
  const missing = all - reports.length;
  const unasked = missing > 0 ? [`${missing} have no address yet: see the events of the pods`] : [];
  const reasons = [...named, ...more, ...unasked].join('; ');
  return `${loaded} of ${all} pods run configuration ${fingerprint ?? ''}: ${reasons}`;
}

function hasLoaded({ status, error }: PodReport, fingerprint: string | undefined): boolean {
  return error === undefined && status !== undefined && status.fingerprint === fingerprint;
}

function whyNot({ status, error, askedAt }: PodReport): string {
  if (error !== undefined) return error;
  if (status === undefined || askedAt === undefined) return 'has not been asked yet';
  const { lastConfigError, fingerprint, version } = status;
  if (lastConfigError !== undefined) return refusalSentence(lastConfigError.errors, version);
  if (fingerprint === undefined) return 'has loaded no configuration yet: see its log';
  return `still runs ${fingerprint}: its volume is brought up to date within 90 s`;
}

/** To be read after the pod's name: what it did not like, and what to do. */
export function refusalSentence(errors: readonly string[], version: string): string {
  const remedy =
    version === packageJson.version
      ? 'correct what it names'
      : `it is version ${version} and the operator ${packageJson.version}: use an image of the same version`;
  return `refused it and runs the one before: ${errors.join('; ')}; ${remedy}`;
}
