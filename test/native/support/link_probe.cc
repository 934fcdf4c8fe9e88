// Measures what the disks and the link between two hosts can do by themselves, for the benchmark's physical bound and its plain copy.
//
//   link_probe disk FILE COUNT             4 KiB random O_DIRECT writes, one at a time
//   link_probe pong PORT [FILE]            answers each 4 KiB message with 32 bytes, after writing it to FILE when one is given
//   link_probe ping HOST PORT COUNT        sends 4 KiB, waits for the answer
//   link_probe receive PORT FILE           writes what arrives to FILE (O_DIRECT, 1 MiB at a time), then fdatasync
//   link_probe send HOST PORT FILE BYTES   sends the first BYTES of FILE (multiple of 1 MiB), waits until the receiver is done
// Latencies are printed as JSON in microseconds, a copy as {"seconds":...}.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr size_t kMessageBytes = 4096, kAnswerBytes = 32, kChunkBytes = 1u << 20;
using Clock = std::chrono::steady_clock;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

uint8_t* Buffer(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, bytes) != 0) Die("memory");
  std::memset(memory, 0x5a, bytes);
  return static_cast<uint8_t*>(memory);
}

bool ReadAll(int fd, uint8_t* data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t got = read(fd, data + done, bytes - done);
    if (got <= 0) return false;
    done += static_cast<size_t>(got);
  }
  return true;
}

void WriteAll(int fd, const uint8_t* data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t sent = write(fd, data + done, bytes - done);
    if (sent <= 0) Die("send");
    done += static_cast<size_t>(sent);
  }
}

void NoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int Accept(const char* port) {
  const int server = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(server, 1) != 0) Die("listen");
  std::printf("listening\n");
  std::fflush(stdout);
  const int fd = accept(server, nullptr, nullptr);
  if (fd < 0) Die("accept");
  NoDelay(fd);
  return fd;
}

int Connect(const char* host, const char* port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) Die(host);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Die("connect");
  NoDelay(fd);
  return fd;
}

int OpenDirect(const char* path, int flags) {
  const int fd = open(path, flags | O_DIRECT | O_CLOEXEC);
  if (fd < 0) Die(path);
  return fd;
}

uint64_t BlocksOf(int fd) {
  struct stat st {};
  if (fstat(fd, &st) != 0) Die("fstat");
  return std::max<uint64_t>(1, static_cast<uint64_t>(st.st_size) / kMessageBytes);
}

void WriteBlock(int fd, const uint8_t* data, uint64_t block) {
  if (pwrite(fd, data, kMessageBytes, static_cast<off_t>(block * kMessageBytes)) != static_cast<ssize_t>(kMessageBytes)) Die("write");
}

void Print(std::vector<double> micros) {
  std::sort(micros.begin(), micros.end());
  double sum = 0;
  for (const double value : micros) sum += value;
  const auto n = micros.size();
  std::printf("{\"count\":%zu,\"p50\":%.1f,\"p99\":%.1f,\"mean\":%.1f}\n", n, micros[n / 2], micros[n * 99 / 100], sum / static_cast<double>(n));
}

template <typename Action>
void Measure(int count, Action action) {
  std::vector<double> micros;
  for (int i = 0; i < count; ++i) {
    const auto begin = Clock::now();
    action();
    micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  Print(std::move(micros));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  std::mt19937_64 random(42);
  if (verb == "disk" && argc == 4) {
    const int fd = OpenDirect(argv[2], O_WRONLY);
    const uint64_t blocks = BlocksOf(fd);
    uint8_t* data = Buffer(kMessageBytes);
    Measure(std::atoi(argv[3]), [&] { WriteBlock(fd, data, random() % blocks); });
    return 0;
  }
  if (verb == "pong" && (argc == 3 || argc == 4)) {
    const int disk = argc == 4 ? OpenDirect(argv[3], O_WRONLY) : -1;
    const uint64_t blocks = disk < 0 ? 1 : BlocksOf(disk);
    const int fd = Accept(argv[2]);
    uint8_t* data = Buffer(kMessageBytes);
    while (ReadAll(fd, data, kMessageBytes)) {
      if (disk >= 0) WriteBlock(disk, data, random() % blocks);
      WriteAll(fd, data, kAnswerBytes);
    }
    return 0;
  }
  if (verb == "ping" && argc == 5) {
    const int fd = Connect(argv[2], argv[3]);
    uint8_t* data = Buffer(kMessageBytes);
    Measure(std::atoi(argv[4]), [&] {
      WriteAll(fd, data, kMessageBytes);
      if (!ReadAll(fd, data, kAnswerBytes)) Die("answer");
    });
    return 0;
  }
  if (verb == "receive" && argc == 4) {
    const int disk = OpenDirect(argv[3], O_WRONLY);
    const int fd = Accept(argv[2]);
    uint8_t* data = Buffer(kChunkBytes);
    for (off_t offset = 0; ReadAll(fd, data, kChunkBytes); offset += kChunkBytes) {
      if (pwrite(disk, data, kChunkBytes, offset) != static_cast<ssize_t>(kChunkBytes)) Die("write");
    }
    if (fdatasync(disk) != 0) Die("fdatasync");
    return 0;  // closing the socket tells the sender
  }
  if (verb == "send" && argc == 6) {
    const int disk = OpenDirect(argv[4], O_RDONLY);
    const int fd = Connect(argv[2], argv[3]);
    uint8_t* data = Buffer(kChunkBytes);
    const off_t total = static_cast<off_t>(std::strtoull(argv[5], nullptr, 10));
    const auto begin = Clock::now();
    for (off_t offset = 0; offset < total; offset += kChunkBytes) {
      if (pread(disk, data, kChunkBytes, offset) != static_cast<ssize_t>(kChunkBytes)) Die("read");
      WriteAll(fd, data, kChunkBytes);
    }
    shutdown(fd, SHUT_WR);
    if (read(fd, data, 1) != 0) Die("receiver");
    std::printf("{\"seconds\":%.4f}\n", std::chrono::duration<double>(Clock::now() - begin).count());
    return 0;
  }
  std::fprintf(stderr, "usage: link_probe disk|pong|ping|receive|send ...\n");
  return 2;
}
