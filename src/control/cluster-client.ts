/** The client of clusterd's control API (paths: cluster-messages.ts). No answer at all rejects with ERR_CLUSTERD_UNREACHABLE. */
import { DrbdtsError } from '../shared/errors.js';
import {
  type ClusterReply,
  type ClusterRequest,
  type ClusterStatus,
  type ClusterVerb,
  clusterReply,
  clusterStatus,
  type HistoryReply,
  historyReply,
} from './cluster-messages.js';
import { readEvents, SocketClient } from './socket-client.js';
import { type BalancingStatus, balancingStatus } from './balancing-messages.js';
import { type VrrpExplanation, type VrrpStatus, vrrpExplanation, vrrpStatus } from './vrrp-messages.js';

export const defaultClusterSocket = '/run/drbdts/clusterd.sock';

export class ClusterClient extends SocketClient {
  constructor(socket: string = defaultClusterSocket) {
    super(socket, 'ERR_CLUSTERD_UNREACHABLE');
  }

  async status(): Promise<ClusterStatus> {
    return this.json('GET', '/v1/cluster/status', clusterStatus);
  }

  async history(limit: number): Promise<HistoryReply> {
    return this.json('GET', `/v1/cluster/history?limit=${limit}`, historyReply);
  }

  async vrrp(): Promise<VrrpStatus> {
    return this.json('GET', '/v1/cluster/vrrp', vrrpStatus);
  }

  async vrrpExplain(): Promise<VrrpExplanation> {
    return this.json('GET', '/v1/cluster/vrrp-explain', vrrpExplanation);
  }

  async balancing(): Promise<BalancingStatus> {
    return this.json('GET', '/v1/cluster/balancing', balancingStatus);
  }

  async verb(verb: ClusterVerb, request: ClusterRequest = {}): Promise<ClusterReply> {
    return this.json('POST', `/v1/cluster/${verb}`, clusterReply, request);
  }

  /** The status at every change, until `signal` fires or clusterd goes away (then it rejects). */
  async *watch(signal?: AbortSignal): AsyncGenerator<ClusterStatus, void, undefined> {
    try {
      const response = await this.open('GET', '/v1/cluster/events', undefined, signal, 'text/event-stream');
      for await (const { data } of readEvents(response)) yield clusterStatus.parse(JSON.parse(data));
    } catch (error) {
      if (signal?.aborted === true) return;
      throw error instanceof DrbdtsError ? error : this.unreachable(error as Error);
    }
    if (signal?.aborted !== true) throw this.unreachable(new Error('clusterd ended'));
  }
}
