/**
 * An event as events.k8s.io/v1 takes it: within the API's bounds, and about what a reference names. A series is one
 * event that counts. Pure.
 */
import { microTime } from './clock.ts';
import type { KubeObject } from './object.ts';
import { defineResource } from './resource.ts';

export interface EventNote {
  type: 'Normal' | 'Warning';
  /** CamelCase, ≤ 128 characters. */
  reason: string;
  /** What the reporter did, CamelCase; default the reason. */
  action?: string;
  /** Cut at 1 kB. */
  note: string;
  related?: KubeObject;
}

export interface WireSeries {
  readonly count: number;
  readonly lastObservedTime: string;
}

export type WireEvent = KubeObject & { eventTime: string; series?: WireSeries };

export const events = defineResource<WireEvent>({
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
});

/** The API's bounds: note 1 kB, reason and action 128 characters. */
const longestNote = 1024;
const longestName = 128;

/** Who reports. */
export interface Reporter {
  /** `reportingController`: a qualified name such as example.com/operator. */
  controller: string;
  /** `reportingInstance`: the pod's name. */
  instance: string;
}

/** An event that has happened so often, the last time at that wall time in milliseconds. */
export interface Happening {
  about: KubeObject;
  event: EventNote;
  count: number;
  lastWallTime: number;
}

/** What is to be created under `name`. */
export function wireEvent(name: string, happening: Happening, reporter: Reporter): WireEvent {
  const { about, event, count, lastWallTime } = happening;
  const { apiVersion, kind, metadata } = about;
  return {
    metadata: { name, namespace: namespaceOf(about) },
    eventTime: microTime(lastWallTime),
    type: event.type,
    reason: event.reason.slice(0, longestName),
    action: (event.action ?? event.reason).slice(0, longestName),
    note: cutNote(event.note),
    reportingController: reporter.controller,
    reportingInstance: reporter.instance.slice(0, longestName),
    regarding: { apiVersion, kind, ...metadata },
    ...(event.related && { related: wireReference(event.related) }),
    ...(count > 1 && { series: wireSeries(happening) }),
  } as WireEvent;
}

/** A series counts from two. */
export function wireSeries({ count, lastWallTime }: Happening): WireSeries {
  return { count: Math.max(2, count), lastObservedTime: microTime(lastWallTime) };
}

/** Events are where what they are about is; those about what is in no namespace, in `default`. */
export function namespaceOf({ metadata }: KubeObject): string {
  return metadata.namespace ?? 'default';
}

/** What is needed of an object to name it: it may be large. */
export function reference({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion } = metadata;
  return {
    ...(apiVersion && { apiVersion }),
    ...(kind && { kind }),
    metadata: {
      name,
      ...(namespace && { namespace }),
      ...(uid && { uid }),
      ...(resourceVersion && { resourceVersion }),
    },
  };
}

/** core/v1 ObjectReference. */
function wireReference(object: KubeObject): object {
  const { apiVersion, kind, metadata } = reference(object);
  return { apiVersion, kind, ...metadata };
}

/** The bound is in bytes; a cut inside a character leaves that character out. */
function cutNote(note: string): string {
  if (Buffer.byteLength(note) <= longestNote) return note;
  return `${Buffer.from(note)
    .subarray(0, longestNote - 6)
    .toString('utf8')
    .replace(/\uFFFD$/, '')}…`;
}
