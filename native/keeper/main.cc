// drbdts-keeper [--abort-after SECONDS] -- COMMAND [ARGUMENT...]
//
//            start              READY=1
//   Waiting -------> Starting ---------> Running        SIGTERM, SIGINT: tell the child to end, wait for it, close everything, leave
//      ^  backoff        | dies             | dies      SIGHUP: upgrade: tell the child to end, start it again, keep the descriptors
//      +-----------------+------------------+           the child leaves with 0 by itself: close everything, leave
//
// Away (Waiting or Starting after it had descriptors) for longer than --abort-after: an I/O error is better than a host that hangs for ever. The
// descriptors are closed, and a child that does not get ready is killed, because it has copies of them.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>

#include "keeper/keeper.h"

extern char** environ;

namespace drbdts::keeper {
namespace {

constexpr uint64_t kDefaultAbortMs = 60000;
constexpr uint64_t kKillAfterMs = 90000;  // after SIGTERM
constexpr uint64_t kSteadyMs = 10000;     // a child that ran this long has not failed to start
constexpr size_t kMaxEnvironment = 1024;
constexpr int kExitUsage = 64;
constexpr int kExitCannotRun = 127;

Store store;
int socket_fd = -1;
int signal_fd = -1;
sigset_t signals_before;
char** command = nullptr;
uint64_t abort_ms = kDefaultAbortMs;

pid_t child = -1;
bool ready = false;
bool leaving = false;    // SIGTERM came
bool upgrading = false;  // SIGHUP came
bool aborted = false;    // once per absence
uint32_t failures = 0;
uint64_t started_ms = 0;
uint64_t next_start_ms = 0;
uint64_t kill_ms = 0;   // 0 = no deadline
uint64_t away_ms = 0;   // since when there is no ready child; 0 = there is one
uint64_t extended_ms = 0;

char socket_name[64];
char notify_variable[80];
char fds_variable[32];
char pid_variable[32];
char names_variable[sizeof("LISTEN_FDNAMES=") + kMaxStored * (kMaxNameBytes + 1)];
char* child_environment[kMaxEnvironment + 8];
size_t inherited_environment = 0;

uint64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

/// To standard error and the system log, without stdio's and syslog()'s allocations.
void Say(int priority, const char* text, const char* more = "") {
  char line[1024];
  int length = std::snprintf(line, sizeof line, "<%d>drbdts-keeper[%d]: %s%s", (3 << 3) | priority, static_cast<int>(getpid()), text, more);
  if (length < 0) return;
  size_t bytes = std::min(static_cast<size_t>(length), sizeof line - 2);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, "/dev/log");
    sendto(fd, line, bytes, MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), sizeof address);
    close(fd);
  }
  line[bytes] = '\n';
  const char* plain = std::strchr(line, '>') + 1;
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, plain, static_cast<size_t>(line + bytes + 1 - plain));
}

/// Async-signal-safe: the child's own number is only known after fork.
void FormatPid(char* target, pid_t pid) {
  char digits[16];
  size_t count = 0;
  for (unsigned long value = static_cast<unsigned long>(pid); value > 0; value /= 10) digits[count++] = static_cast<char>('0' + value % 10);
  while (count > 0) *target++ = digits[--count];
  *target = '\0';
}

void PrepareEnvironment() {
  const char* own[] = {"NOTIFY_SOCKET=", "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES="};
  for (char** entry = environ; *entry != nullptr && inherited_environment < kMaxEnvironment; ++entry) {
    bool mine = std::any_of(std::begin(own), std::end(own), [&](const char* key) { return std::strncmp(*entry, key, std::strlen(key)) == 0; });
    if (!mine) child_environment[inherited_environment++] = *entry;
  }
  std::snprintf(notify_variable, sizeof notify_variable, "NOTIFY_SOCKET=%s", socket_name);
}

void StartChild() {
  size_t at = inherited_environment;
  child_environment[at++] = notify_variable;
  if (store.count() > 0) {
    std::snprintf(fds_variable, sizeof fds_variable, "LISTEN_FDS=%zu", store.count());
    char* end = names_variable + std::snprintf(names_variable, sizeof names_variable, "LISTEN_FDNAMES=");
    for (size_t i = 0; i < store.count(); ++i) {
      if (i > 0) *end++ = ':';
      size_t length = std::strlen(store.name(i));
      std::memcpy(end, store.name(i), length);
      end += length;
    }
    *end = '\0';
    std::strcpy(pid_variable, "LISTEN_PID=");
    child_environment[at++] = fds_variable;
    child_environment[at++] = names_variable;
    child_environment[at++] = pid_variable;
  }
  child_environment[at] = nullptr;

  ready = false;
  started_ms = NowMs();
  next_start_ms = 0;
  kill_ms = 0;
  if (away_ms == 0) away_ms = started_ms;
  child = fork();
  if (child == 0) {
    // Only async-signal-safe calls from here.
    FormatPid(pid_variable + sizeof("LISTEN_PID=") - 1, getpid());
    for (size_t i = 0; i < store.count(); ++i) {
      if (dup2(store.fd(i), 3 + static_cast<int>(i)) < 0) _exit(kExitCannotRun);
    }
    sigprocmask(SIG_SETMASK, &signals_before, nullptr);
    execvpe(command[0], command, child_environment);
    static const char text[] = "drbdts-keeper: cannot run the command\n";
    [[maybe_unused]] ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(kExitCannotRun);
  }
  if (child < 0) {
    Say(3, "cannot start a process: ", std::strerror(errno));
    next_start_ms = NowMs() + BackoffMs(++failures);
  }
}

void TellChildToEnd() {
  if (child <= 0) return;
  kill(child, SIGTERM);
  kill(child, SIGCONT);  // a stopped one would never hear it
  if (kill_ms == 0) kill_ms = NowMs() + kKillAfterMs;
}

void OnSignal() {
  signalfd_siginfo info;
  while (read(signal_fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
      leaving = true;
      TellChildToEnd();
    } else if (info.ssi_signo == SIGHUP) {
      upgrading = child > 0;
      TellChildToEnd();
    }
  }
}

/// False when the keeper is to leave.
bool OnChildGone(int status) {
  const uint64_t now = NowMs();
  const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  child = -1;
  kill_ms = 0;
  if (away_ms == 0 || ready) away_ms = now;
  const bool was_steady = ready || now - started_ms >= kSteadyMs;
  ready = false;
  if (leaving || (clean && !upgrading)) return false;
  if (was_steady) failures = 0;
  if (upgrading) {
    upgrading = false;
    next_start_ms = now;
    return true;
  }
  char text[512];
  const bool by_signal = WIFSIGNALED(status);
  std::snprintf(text, sizeof text, "%s ended %s %d; starting it again, %zu descriptors kept", command[0], by_signal ? "by signal" : "with",
                by_signal ? WTERMSIG(status) : WEXITSTATUS(status), store.count());
  Say(4, text);
  next_start_ms = now + BackoffMs(++failures);
  return true;
}

void OnMessage() {
  static char text[kMaxMessageBytes + 1];
  alignas(cmsghdr) static char control[CMSG_SPACE(sizeof(int) * kMaxFdsPerMessage) + CMSG_SPACE(sizeof(ucred))];
  while (true) {
    iovec vector{text, kMaxMessageBytes};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t bytes = recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (bytes < 0) return;
    int fds[kMaxFdsPerMessage];
    size_t fd_count = 0;
    uid_t sender = static_cast<uid_t>(-1);
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
      if (part->cmsg_level != SOL_SOCKET) continue;
      if (part->cmsg_type == SCM_RIGHTS) {
        fd_count = std::min((part->cmsg_len - CMSG_LEN(0)) / sizeof(int), kMaxFdsPerMessage);
        std::memcpy(fds, CMSG_DATA(part), fd_count * sizeof(int));
      } else if (part->cmsg_type == SCM_CREDENTIALS) {
        ucred credentials;
        std::memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
        sender = credentials.uid;
      }
    }
    // An abstract socket has no permissions of its own.
    const bool trusted = sender == geteuid() && (header.msg_flags & MSG_TRUNC) == 0;
    Message message = ParseMessage(text, static_cast<size_t>(bytes));
    size_t kept = 0;
    if (trusted && message.store) {
      for (; kept < fd_count; ++kept) {
        if (!store.Add(fds[kept], message.name)) Say(3, "cannot keep a descriptor (table full or name not allowed): ", message.name);
      }
    }
    // Also a barrier: its sender waits until this copy is closed.
    for (size_t i = kept; i < fd_count; ++i) close(fds[i]);
    if (!trusted) continue;
    if (message.remove) store.Remove(message.name);
    if (message.extend_usec > 0) extended_ms = NowMs() + message.extend_usec / 1000;
    if (message.ready && child > 0) {
      ready = true;
      away_ms = 0;
      aborted = false;
      extended_ms = 0;
    }
    if (message.status[0] != '\0') Say(6, "status: ", message.status);
  }
}

void AbortIfTooLong(uint64_t now) {
  if (away_ms == 0 || aborted || abort_ms == 0 || store.count() == 0 || leaving) return;
  if (now < std::max(away_ms + abort_ms, extended_ms)) return;
  char text[512];
  std::snprintf(text, sizeof text, "%s was not back within %g s: giving up %zu descriptors, I/O on their devices fails now", command[0],
                static_cast<double>(abort_ms) / 1000, store.count());
  Say(1, text);
  aborted = true;
  store.RemoveAll();
  if (child > 0) kill(child, SIGKILL);
}

int TimeoutMs(uint64_t now) {
  uint64_t next = UINT64_MAX;
  if (child < 0 && next_start_ms > 0) next = std::min(next, next_start_ms);
  if (child > 0 && kill_ms > 0) next = std::min(next, kill_ms);
  if (away_ms > 0 && !aborted && abort_ms > 0 && store.count() > 0 && !leaving) next = std::min(next, std::max(away_ms + abort_ms, extended_ms));
  if (next == UINT64_MAX) return -1;
  return next <= now ? 0 : static_cast<int>(std::min<uint64_t>(next - now, 60000));
}

int Run() {
  StartChild();
  while (true) {
    uint64_t now = NowMs();
    if (child < 0 && leaving) break;
    if (child < 0 && next_start_ms > 0 && now >= next_start_ms) StartChild();
    AbortIfTooLong(now);
    if (child > 0 && kill_ms > 0 && now >= kill_ms) {
      Say(3, "the child does not end: killing it");
      kill(child, SIGKILL);
      kill_ms = now + kKillAfterMs;
    }
    pollfd entries[2] = {{signal_fd, POLLIN, 0}, {socket_fd, POLLIN, 0}};
    if (poll(entries, 2, TimeoutMs(now)) < 0 && errno != EINTR) {
      Say(3, "poll: ", std::strerror(errno));
      return 1;
    }
    // First what the child said, then that it is gone: a descriptor sent with its last breath counts.
    OnMessage();
    OnSignal();
    int status;
    pid_t gone;
    while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
      if (gone != child) continue;
      OnMessage();
      if (!OnChildGone(status)) {
        store.RemoveAll();
        return 0;
      }
    }
  }
  store.RemoveAll();
  return 0;
}

bool OpenSocket() {
  socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_fd < 0) return false;
  int on = 1;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // An empty name lets the kernel choose an unused abstract one: nothing to clean up.
  socklen_t length = sizeof(sa_family_t);
  if (setsockopt(socket_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return false;
  if (bind(socket_fd, reinterpret_cast<sockaddr*>(&address), length) != 0) return false;
  length = sizeof address;
  if (getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return false;
  size_t bytes = length - offsetof(sockaddr_un, sun_path);
  if (bytes < 2 || bytes >= sizeof socket_name) return false;
  std::memcpy(socket_name, address.sun_path, bytes);
  socket_name[0] = '@';
  return true;
}

void Harden() {
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) Say(4, "cannot lock memory, going on without: ", std::strerror(errno));
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "-1000", 5) != 5) Say(6, "cannot exempt itself from the OOM killer, going on without");
  if (fd >= 0) close(fd);
}

int Usage(const char* problem) {
  std::fprintf(stderr, "drbdts-keeper: %s\nusage: drbdts-keeper [--abort-after SECONDS] -- COMMAND [ARGUMENT...]\n"
               "  --abort-after  close the kept descriptors when no ready child is back by then (default 60, 0 = never)\n", problem);
  return kExitUsage;
}

int Main(int argc, char** argv) {
  int at = 1;
  for (; at < argc && std::strcmp(argv[at], "--") != 0; ++at) {
    if (std::strcmp(argv[at], "--abort-after") != 0 || at + 1 >= argc) return Usage("what is before -- is not understood");
    char* end = nullptr;
    double seconds = std::strtod(argv[++at], &end);
    if (end == argv[at] || *end != '\0' || !(seconds >= 0 && seconds <= 86400)) return Usage("--abort-after wants a number of seconds, 0 to 86400");
    abort_ms = static_cast<uint64_t>(seconds * 1000);
  }
  if (at + 1 >= argc) return Usage("no command");
  command = argv + at + 1;
  sigset_t watched;
  sigemptyset(&watched);
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&watched, number);
  sigprocmask(SIG_BLOCK, &watched, &signals_before);
  signal_fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd < 0 || !OpenSocket()) {
    Say(3, "cannot start: ", std::strerror(errno));
    return 1;
  }
  PrepareEnvironment();
  Harden();
  return Run();
}

}  // namespace
}  // namespace drbdts::keeper

int main(int argc, char** argv) { return drbdts::keeper::Main(argc, argv); }
