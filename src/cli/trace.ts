/** --verbose: each change asked of the daemon as a line on stderr, the way it could be repeated with curl. */
import type { ControlApi } from './api.js';
import { printLines, type TextStream } from './context.js';

/** The same API; verbs and reloads are told to `stream` before they are sent. */
export function traceCalls(api: ControlApi, stream: TextStream): ControlApi {
  return {
    status: (resource) => api.status(resource),
    proc: () => api.proc(),
    events: (options) => api.events(options),
    config: () => api.config(),
    verb: (resource, verb, request) => {
      printLines(stream, [`+ POST /v1/resources/${resource}/${verb} ${JSON.stringify(request)}`]);
      return api.verb(resource, verb, request);
    },
    confirmFenced: (node, reason) => {
      printLines(stream, [`+ POST /v1/confirm-fenced ${JSON.stringify({ node, reason })}`]);
      return api.confirmFenced(node, reason);
    },
    reload: () => {
      printLines(stream, ['+ POST /v1/reload']);
      return api.reload();
    },
  };
}
