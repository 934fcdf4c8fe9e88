/**
 * The control API's client: one method per path of messages.ts. A refusal of the daemon rejects with a DrbdtsError (its `reply` is the
 * daemon's ErrorReply); no answer at all with ERR_DAEMON_UNREACHABLE.
 */
import { DrbdtsError } from '../shared/errors.js';
import {
  type ConfigCheckReply,
  type ConfigCheckRequest,
  type ConfirmReply,
  configCheckReply,
  confirmReply,
  type EventRecord,
  errorReply,
  eventRecord,
  type ProgressRecord,
  progressRecord,
  type RegisterReply,
  type ReloadReply,
  registerReply,
  reloadReply,
  type StatusReply,
  statusReply,
  type Verb,
  type VerbReply,
  type VerbRequest,
  type VersionReply,
  verbReply,
  versionReply,
} from './messages.js';
import { readEvents, readText, SocketClient } from './socket-client.js';

export const defaultSocket = '/run/drbdts/drbdtsd.sock';

export interface EventsOptions {
  readonly resource?: string;
  /** stop after the initial dump. */
  readonly now?: boolean;
  readonly signal?: AbortSignal;
}

export interface VerbOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (record: ProgressRecord) => void;
}

export class ControlClient extends SocketClient {
  constructor(socket: string = defaultSocket) {
    super(socket, 'ERR_DAEMON_UNREACHABLE');
  }

  async status(resource?: string, signal?: AbortSignal): Promise<StatusReply> {
    const path = resource === undefined ? '/v1/status' : `/v1/status/${encodeURIComponent(resource)}`;
    return this.json('GET', path, statusReply, undefined, signal);
  }

  /** The text of 8.4's /proc/drbd. */
  async proc(): Promise<string> {
    return readText(await this.open('GET', '/v1/proc'));
  }

  async verb(resource: string, verb: Verb, request: VerbRequest = {}, options: VerbOptions = {}): Promise<VerbReply> {
    const path = `/v1/resources/${encodeURIComponent(resource)}/${verb}`;
    if (options.onProgress === undefined) return this.json('POST', path, verbReply, request, options.signal);
    const response = await this.open('POST', path, request, options.signal, 'text/event-stream');
    for await (const { event, data } of readEvents(response)) {
      const value: unknown = JSON.parse(data);
      if (event === 'progress') options.onProgress(progressRecord.parse(value));
      else if (event === 'reply') return verbReply.parse(value);
      else if (event === 'error') throw new DrbdtsError(errorReply.parse(value));
    }
    throw this.unreachable(new Error('the daemon ended during the command'));
  }

  /** Initial dump, `exists -`, then changes until `signal` fires or the daemon goes away (then it rejects). */
  async *events(options: EventsOptions = {}): AsyncGenerator<EventRecord, void, undefined> {
    const query = new URLSearchParams();
    if (options.resource !== undefined) query.set('resource', options.resource);
    if (options.now === true) query.set('now', '1');
    try {
      const response = await this.open('GET', `/v1/events?${query}`, undefined, options.signal, 'text/event-stream');
      for await (const { data } of readEvents(response)) yield eventRecord.parse(JSON.parse(data));
    } catch (error) {
      if (options.signal?.aborted === true) return;
      throw error instanceof DrbdtsError ? error : this.unreachable(error as Error);
    }
    if (options.now !== true && options.signal?.aborted !== true) throw this.unreachable(new Error('the daemon ended'));
  }

  /** The configuration in force, secrets masked. */
  async config(): Promise<unknown> {
    return JSON.parse(await readText(await this.open('GET', '/v1/config')));
  }

  async checkConfig(request: ConfigCheckRequest = {}): Promise<ConfigCheckReply> {
    return this.json('POST', '/v1/config/check', configCheckReply, request);
  }

  async reload(): Promise<ReloadReply> {
    return this.json('POST', '/v1/reload', reloadReply, {});
  }

  /** Who has a group that has no volume, as this node knows. */
  async register(group: string): Promise<RegisterReply> {
    return this.json('GET', `/v1/register/${encodeURIComponent(`group/${group}`)}`, registerReply);
  }

  /** May this node have the group? `peerGone` false: the peer is seen, and agrees. Waits a few seconds at most. */
  async claim(group: string, peerGone: boolean): Promise<RegisterReply> {
    return this.json('POST', `/v1/register/${encodeURIComponent(`group/${group}`)}/claim`, registerReply, { peerGone });
  }

  /** This node does not have the group. */
  async release(group: string, peerGone: boolean): Promise<RegisterReply> {
    return this.json('POST', `/v1/register/${encodeURIComponent(`group/${group}`)}/release`, registerReply, { peerGone });
  }

  /** An operator's word that the other node is off for good. Rejects with ERR_CONFIRM_FENCED. */
  async confirmFenced(node: string, reason: string): Promise<ConfirmReply> {
    return this.json('POST', '/v1/confirm-fenced', confirmReply, { node, reason });
  }

  async version(): Promise<VersionReply> {
    return this.json('GET', '/v1/version', versionReply);
  }
}
