// A disk with a volatile cache, for power-loss tests: one regular file served over FUSE. Writes stay in memory until an fsync; on "cut" a
// random part of the unflushed sectors reaches the backing file, the rest is lost and the disk is gone, as when a node loses its power.
//
//   lossy_disk MOUNTPOINT BACKING      MOUNTPOINT is an existing regular file
//
// Commands on standard input, one per line, each answered by one line on standard output:
//   pending            number of sectors not yet durable
//   flush              make everything durable
//   cut SEED           lose power: part of the unflushed sectors survives, chosen by SEED; the program ends
//   fail OFFSET BYTES  answer EIO to I/O that touches this range; "fail 0 0" heals the disk
//   hold / release     stop and go on answering requests (a disk that hangs)
// End of input ends the program and loses everything unflushed.
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kBlockBytes = 4096;
constexpr uint32_t kMaxWriteBytes = 1u << 20;
using Sector = std::array<uint8_t, kSectorBytes>;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

class LossyDisk {
 public:
  LossyDisk(const char* backing, int fuse_fd) : fuse_fd_(fuse_fd), buffer_(kMaxWriteBytes + 65536), reply_(kMaxWriteBytes + 4096) {
    fd_ = open(backing, O_RDWR | O_CLOEXEC);
    if (fd_ < 0) Die(backing);
    struct stat st {};
    if (fstat(fd_, &st) != 0) Die("fstat");
    size_bytes_ = static_cast<uint64_t>(st.st_size);
  }

  bool held() const { return held_; }

  /// Serves one request. False: the mount is gone.
  bool Serve() {
    const ssize_t got = read(fuse_fd_, buffer_.data(), buffer_.size());
    if (got < 0) return errno == EINTR || errno == ENOENT || errno == EAGAIN;
    const auto* in = reinterpret_cast<const fuse_in_header*>(buffer_.data());
    const uint8_t* arg = buffer_.data() + sizeof(fuse_in_header);
    switch (in->opcode) {
      case FUSE_INIT: Init(*in, *reinterpret_cast<const fuse_init_in*>(arg)); break;
      case FUSE_GETATTR: Attributes(*in); break;
      case FUSE_SETATTR: Answer(*in, EPERM, nullptr, 0); break;
      case FUSE_OPEN: {
        fuse_open_out out{};
        out.open_flags = FOPEN_DIRECT_IO;
        Answer(*in, 0, &out, sizeof out);
        break;
      }
      case FUSE_READ: Read(*in, *reinterpret_cast<const fuse_read_in*>(arg)); break;
      case FUSE_WRITE: Write(*in, *reinterpret_cast<const fuse_write_in*>(arg), arg + sizeof(fuse_write_in)); break;
      case FUSE_FSYNC: Answer(*in, Fails(0, size_bytes_) ? EIO : Flush(), nullptr, 0); break;
      case FUSE_FLUSH:
      case FUSE_RELEASE: Answer(*in, 0, nullptr, 0); break;
      case FUSE_FALLOCATE: Answer(*in, EOPNOTSUPP, nullptr, 0); break;
      case FUSE_STATFS: {
        fuse_statfs_out out{};
        out.st.bsize = kBlockBytes;
        out.st.namelen = 255;
        Answer(*in, 0, &out, sizeof out);
        break;
      }
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT: break;
      case FUSE_DESTROY: return false;
      default: Answer(*in, ENOSYS, nullptr, 0); break;
    }
    return true;
  }

  /// Obeys one line. False: the disk is gone.
  bool Obey(const std::string& line) {
    char word[32] = "";
    unsigned long long first = 0, second = 0;
    std::sscanf(line.c_str(), "%31s %llu %llu", word, &first, &second);
    const std::string verb = word;
    if (verb == "pending") {
      std::printf("ok %zu\n", unflushed_.size());
    } else if (verb == "flush") {
      const int error = Flush();
      std::printf(error == 0 ? "ok\n" : "error %d\n", error);
    } else if (verb == "cut") {
      const auto [kept, lost] = Cut(first);
      std::printf("ok kept %zu lost %zu\n", kept, lost);
      std::fflush(stdout);
      return false;
    } else if (verb == "fail") {
      fail_begin_ = first;
      fail_end_ = first + second;
      std::printf("ok\n");
    } else if (verb == "hold" || verb == "release") {
      held_ = verb == "hold";
      std::printf("ok\n");
    } else {
      std::printf("error unknown command\n");
    }
    std::fflush(stdout);
    return true;
  }

 private:
  void Answer(const fuse_in_header& in, int error, const void* data, size_t bytes) {
    fuse_out_header out{static_cast<uint32_t>(sizeof(fuse_out_header) + bytes), -error, in.unique};
    const iovec parts[2] = {{&out, sizeof out}, {const_cast<void*>(data), bytes}};
    if (writev(fuse_fd_, parts, bytes == 0 ? 1 : 2) < 0 && errno != ENOENT && errno != ENODEV) Die("reply");
  }

  void Init(const fuse_in_header& in, const fuse_init_in& init) {
    fuse_init_out out{};
    out.major = FUSE_KERNEL_VERSION;
    out.minor = std::min<uint32_t>(init.minor, FUSE_KERNEL_MINOR_VERSION);
    out.max_readahead = init.max_readahead;
    out.flags = init.flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_MAX_PAGES);
    out.max_background = 256;
    out.congestion_threshold = 192;
    out.max_write = kMaxWriteBytes;
    out.max_pages = kMaxWriteBytes / kBlockBytes;
    out.time_gran = 1;
    Answer(in, 0, &out, sizeof out);
  }

  void Attributes(const fuse_in_header& in) {
    fuse_attr_out out{};
    out.attr_valid = 3600;
    out.attr.ino = 1;
    out.attr.size = size_bytes_;
    out.attr.blocks = size_bytes_ / kSectorBytes;
    out.attr.mode = S_IFREG | 0600;
    out.attr.nlink = 1;
    out.attr.blksize = kBlockBytes;
    Answer(in, 0, &out, sizeof out);
  }

  bool Fails(uint64_t offset, uint64_t bytes) const { return fail_end_ > fail_begin_ && offset < fail_end_ && offset + bytes > fail_begin_; }

  void Read(const fuse_in_header& in, const fuse_read_in& arg) {
    if (arg.offset >= size_bytes_) return Answer(in, 0, nullptr, 0);
    const uint64_t bytes = std::min<uint64_t>({arg.size, size_bytes_ - arg.offset, kMaxWriteBytes});
    if (Fails(arg.offset, bytes)) return Answer(in, EIO, nullptr, 0);
    if (pread(fd_, reply_.data(), bytes, static_cast<off_t>(arg.offset)) != static_cast<ssize_t>(bytes)) return Answer(in, EIO, nullptr, 0);
    const uint64_t end = arg.offset + bytes;
    for (uint64_t sector = arg.offset / kSectorBytes; sector * kSectorBytes < end; ++sector) {
      const auto found = unflushed_.find(sector);
      if (found == unflushed_.end()) continue;
      const uint64_t begin = std::max(arg.offset, sector * kSectorBytes);
      const uint64_t stop = std::min(end, (sector + 1) * kSectorBytes);
      std::memcpy(reply_.data() + (begin - arg.offset), found->second.data() + (begin - sector * kSectorBytes), stop - begin);
    }
    Answer(in, 0, reply_.data(), bytes);
  }

  void Write(const fuse_in_header& in, const fuse_write_in& arg, const uint8_t* data) {
    if (arg.offset % kSectorBytes != 0 || arg.size % kSectorBytes != 0) return Answer(in, EINVAL, nullptr, 0);
    if (arg.offset + arg.size > size_bytes_) return Answer(in, ENOSPC, nullptr, 0);
    if (Fails(arg.offset, arg.size)) return Answer(in, EIO, nullptr, 0);
    for (uint32_t done = 0; done < arg.size; done += kSectorBytes) {
      if ((arg.flags & O_DSYNC) != 0) {
        // durable by itself, as a write with FUA: says nothing about what was written before
        Sector sector;
        std::memcpy(sector.data(), data + done, kSectorBytes);
        if (Store((arg.offset + done) / kSectorBytes, sector) != 0) return Answer(in, EIO, nullptr, 0);
        unflushed_.erase((arg.offset + done) / kSectorBytes);
        continue;
      }
      std::memcpy(unflushed_[(arg.offset + done) / kSectorBytes].data(), data + done, kSectorBytes);
    }
    fuse_write_out out{arg.size, 0};
    Answer(in, 0, &out, sizeof out);
  }

  int Store(uint64_t sector, const Sector& data) {
    return pwrite(fd_, data.data(), kSectorBytes, static_cast<off_t>(sector * kSectorBytes)) == static_cast<ssize_t>(kSectorBytes) ? 0 : EIO;
  }

  /// The backing file lies in the page cache of a machine that does not lose its power: writing to it is durable enough here.
  int Flush() {
    for (const auto& [sector, data] : unflushed_) {
      if (const int error = Store(sector, data); error != 0) return error;
    }
    unflushed_.clear();
    return 0;
  }

  /// A third of the seeds lose everything, a third lose whole blocks, a third tear blocks at sector borders.
  std::pair<size_t, size_t> Cut(uint64_t seed) {
    std::vector<uint64_t> sectors;
    for (const auto& entry : unflushed_) sectors.push_back(entry.first);
    std::sort(sectors.begin(), sectors.end());
    std::mt19937_64 random(seed);
    size_t kept = 0;
    bool keep = false;
    uint64_t unit = UINT64_MAX;
    for (const uint64_t sector : sectors) {
      const uint64_t mine = seed % 3 == 2 ? sector : sector / (kBlockBytes / kSectorBytes);
      if (mine != unit) keep = seed % 3 != 0 && random() % 2 == 0;
      unit = mine;
      if (!keep) continue;
      if (Store(sector, unflushed_[sector]) != 0) Die("backing file");
      ++kept;
    }
    return {kept, sectors.size() - kept};
  }

  int fd_ = -1;
  int fuse_fd_;
  uint64_t size_bytes_ = 0;
  uint64_t fail_begin_ = 0, fail_end_ = 0;
  bool held_ = false;
  std::unordered_map<uint64_t, Sector> unflushed_;
  std::vector<uint8_t> buffer_, reply_;
};

int Mount(const char* point) {
  const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) Die("/dev/fuse");
  const std::string options = "fd=" + std::to_string(fd) + ",rootmode=100000,user_id=0,group_id=0,allow_other";
  if (mount("lossy_disk", point, "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) Die("mount");
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: lossy_disk MOUNTPOINT BACKING\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  const int fuse_fd = Mount(argv[1]);
  LossyDisk disk(argv[2], fuse_fd);
  std::printf("ready\n");
  std::fflush(stdout);
  std::string input;
  for (;;) {
    pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {disk.held() ? -1 : fuse_fd, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) Die("poll");
    if (fds[1].revents != 0 && !disk.Serve()) break;
    if (fds[0].revents == 0) continue;
    char chunk[256];
    const ssize_t got = read(STDIN_FILENO, chunk, sizeof chunk);
    if (got <= 0) break;
    input.append(chunk, static_cast<size_t>(got));
    bool alive = true;
    for (size_t end; alive && (end = input.find('\n')) != std::string::npos; input.erase(0, end + 1)) alive = disk.Obey(input.substr(0, end));
    if (!alive) break;
  }
  umount2(argv[1], MNT_DETACH);
  return 0;
}
