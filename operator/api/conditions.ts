/**
 * The conditions of a MailRelay and every reason they can give, each with its
 * meaning: the source of the table in docs/mailrelay-reference.md. Reconciling
 * and Stalled follow kstatus: they are there only while they are true.
 */

export const conditionTypes = {
  Ready:
    'The summary: every replica runs the wanted configuration, at least one provider can be used, the pods are available.',
  ConfigurationValid: 'The spec can be made into a configuration, and the relay has not refused it.',
  CredentialsAvailable: 'Every Secret and key that the spec names is there.',
  ProvidersHealthy: 'Every provider can be used, as the pods report it.',
  SpoolHealthy: 'The volumes are bound, have room, and hold no mail that nobody sends.',
  Reconciling: 'Present while the operator is still bringing about what the spec says.',
  Stalled: 'Present while the operator cannot go on until somebody changes something.',
} as const;

export type ConditionType = keyof typeof conditionTypes;

/** Reasons by condition; the text says what it means and what to do. */
export const conditionReasons = {
  Ready: {
    Available: 'Everything is as the spec says.',
    Degraded:
      'Mail is accepted and sent, but not everything is well: a condition is False, or Stalled speaks of a child that mail does without. The message says what.',
    Suspended: 'spec.suspend is true: the operator changes nothing.',
    PodsUnavailable: 'Fewer pods are ready than the spec asks for.',
    Progressing:
      'Enough pods are ready, but the spec is not yet brought about: pods of the new template are starting, or a step fails.',
    ConfigurationNotLoaded:
      'Some pods do not run the configuration as it is wanted; the message names them and says why: refused, unreachable, or not yet.',
    NoUsableProvider: 'No provider can be used: mail is accepted and waits.',
    InvalidConfiguration: 'See ConfigurationValid.',
    ForwardingOff: 'spec.forwardSMTP is false: mail is accepted and held. Ready is True.',
    Draining:
      'The MailRelay is being deleted: its pods send what they have, and it is there until the last of them is gone. The message says what is waited for.',
    Stalled: 'A child that mail needs is not as it must be; see Stalled.',
  },
  ConfigurationValid: {
    Valid: 'The configuration is valid, and no pod has refused it.',
    Invalid: 'The spec cannot be made into a configuration; the message names each field.',
    RefusedByRelay: 'A pod refused the configuration and runs the one before; the message has its words.',
  },
  CredentialsAvailable: {
    Available: 'Every Secret and key is there.',
    NotNeeded: 'The spec names no Secret.',
    SecretMissing: 'A Secret is missing. Its provider is left out; create the Secret.',
    KeyMissing:
      'A Secret lacks a key. Its provider is left out; add the key or correct usernameKey/passwordKey.',
    SecretForbidden: 'The operator may not read a Secret: its RBAC is incomplete.',
    ReadFailed: 'The API server did not give a Secret; it is asked again. The message has its words.',
    InvalidConfiguration: 'The spec is invalid, so that no Secret is looked at; see ConfigurationValid.',
    Unknown: 'No Secret has been looked at yet.',
  },
  ProvidersHealthy: {
    AllHealthy: 'Every provider can be used.',
    SomeFailing: 'At least one provider cannot be used; mail goes through the others.',
    AllFailing: 'No provider can be used; mail waits in the failed queue and is sent again.',
    AuthenticationSuspended: 'A provider refused the user name or password; correct the Secret.',
    Misconfigured: 'A provider lacks its credentials or certificate.',
    ForwardingOff: 'spec.forwardSMTP is false: providers are not asked.',
    NoAnswer:
      'No pod answers, or none that does says anything of a provider: nobody knows. The message says why; Ready says what becomes of the pods.',
  },
  SpoolHealthy: {
    Healthy:
      'The volumes are bound and have room. Dead letters and quarantined files on volumes that no pod serves are named in the message.',
    VolumePending: 'A PersistentVolumeClaim is not bound; see its events.',
    NearlyFull:
      'Less than a fifth of a volume is free, or less than twice the reserve. Raise spool.size, or find out why mail is not sent.',
    DiskLow:
      'Less is free than the reserve: new mail is refused (452) while sending goes on. Raise spool.size.',
    StoreFailed: 'A write or sync failed; the pod restarts. Look at the volume.',
    ResizePending: 'A volume is being grown.',
    ResizeRefused: 'The storage class does not let the volume grow; the message has its words.',
    ShrinkRefused: 'spool.size is smaller than the volume, which stays as it is.',
    VolumeDeleted:
      'Somebody has deleted a PersistentVolumeClaim that a pod uses: it goes with the mail on it when the pod ends. The message says how to keep it.',
    MailLeftBehind:
      'A volume that no pod serves holds unsent mail, or may hold some (unknown). Scale up again to send it, or delete the claim to lose it.',
    NoAnswer: 'No pod answers, so that nobody knows how much room there is. The message says why.',
  },
  Reconciling: {
    Progressing: 'Children are being written or pods are starting.',
    LoadingConfiguration: 'Pods have not all loaded the new configuration.',
    ScalingDown: 'A replica is sending what it has before it goes.',
    Draining: 'All replicas are sending what they have, or end, before the MailRelay goes.',
    Retrying: 'A step failed and is tried again; the message has its words.',
  },
  Stalled: {
    InvalidConfiguration: 'The spec must be changed; see ConfigurationValid.',
    NameTaken: 'An object that belongs to somebody else has the name of a child; it is left alone.',
    Refused: 'The API server refuses a child as it must be; the message has its words.',
    ImmutableField: 'A child would need a change that Kubernetes does not allow.',
  },
} as const satisfies Readonly<Record<ConditionType, Readonly<Record<string, string>>>>;

/** A reason that condition `T` can have. */
export type ConditionReason<T extends ConditionType> = keyof (typeof conditionReasons)[T] & string;

/** Events of a MailRelay: `Normal` or `Warning`, by reason. Few and aggregated. */
export const eventReasons = {
  ProviderFailedOver: ['Warning', 'Mail goes through another provider than before.'],
  ProviderSuspended: ['Warning', 'A provider refused its credentials.'],
  ProviderRecovered: ['Normal', 'A provider can be used again.'],
  AllProvidersFailing: ['Warning', 'No provider can be used.'],
  ResendRequested: ['Normal', 'Failed mail is sent again because somebody asked.'],
  SpoolNearlyFull: ['Warning', 'Less than a fifth of a volume is free.'],
  SpoolFull: ['Warning', 'A volume is down to its reserve: new mail is refused.'],
  ScaleDownDraining: ['Normal', 'A replica sends what it has before it goes.'],
  ScaleDownLeftMail: [
    'Warning',
    'A replica went with something on its volume (unsent mail, dead letters, quarantined files), or perhaps with some; the volume is kept.',
  ],
  ScaleDownRefused: [
    'Warning',
    'Somebody lowered the replicas of the workload itself, which would not let a replica send what it has; they are raised again.',
  ],
  DeleteDraining: ['Normal', 'All replicas send what they have before the MailRelay goes.'],
  DeleteLeftMail: [
    'Warning',
    'The MailRelay went with something on a volume (unsent mail, dead letters, quarantined files), or perhaps with some; the volume is kept.',
  ],
  MailFound: [
    'Warning',
    'A volume that no pod serves holds something of an earlier MailRelay (unsent mail, dead letters, quarantined files), or may hold some.',
  ],
  VolumeDeleted: [
    'Warning',
    'Somebody deleted a volume that a pod uses; the note says how to keep the mail on it.',
  ],
  ConfigurationLoaded: ['Normal', 'Every replica runs the new configuration.'],
  ConfigurationRefused: ['Warning', 'A pod refused the configuration.'],
  NameTaken: ['Warning', 'The name of a child belongs to somebody else.'],
} as const satisfies Readonly<Record<string, readonly ['Normal' | 'Warning', string]>>;

export type EventReason = keyof typeof eventReasons;
