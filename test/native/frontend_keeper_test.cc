#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "keeper/keeper.h"

namespace drbdts::test {
namespace {

keeper::Message Parse(std::string text) {
  text.resize(text.size() + 1);
  return keeper::ParseMessage(text.data(), text.size() - 1);
}

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST_CASE("keeper: messages of the notification protocol") {
  keeper::Message message = Parse("FDSTORE=1\nFDNAME=drbdts/r0/0/fuse/loop7/512\nFDPOLL=0");
  CHECK(message.store);
  CHECK(std::string(message.name) == "drbdts/r0/0/fuse/loop7/512");
  CHECK_FALSE(message.ready);
  message = Parse("READY=1\nSTATUS=serving r0\nMAINPID=4711\nEXTEND_TIMEOUT_USEC=2500000\n");
  CHECK(message.ready);
  CHECK(std::string(message.status) == "serving r0");
  CHECK(message.extend_usec == 2500000);
  CHECK(std::string(message.name) == "stored");
  CHECK(Parse("FDSTOREREMOVE=1\nFDNAME=x").remove);
  CHECK_FALSE(Parse("XFDSTORE=1\nREADY=10\nREADY").ready);
  CHECK_FALSE(Parse("").ready);
  CHECK(Parse("EXTEND_TIMEOUT_USEC=99999999999999999999999999").extend_usec > 0);
  CHECK(std::strlen(Parse("FDNAME=" + std::string(1000, 'a')).name) == keeper::kMaxNameBytes);
}

TEST_CASE("keeper: the store keeps what it is given, once, and closes what it gives up") {
  static keeper::Store store;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  CHECK(store.Add(dup(ends[0]), "drbdts/r0/0/fuse/loop7/512"));
  CHECK(store.Add(dup(ends[0]), "drbdts/r0/0/fuse/loop7/512"));
  CHECK(store.count() == 1);
  CHECK(store.Add(dup(ends[1]), "drbdts/r0/0/fuse/loop7/512"));
  CHECK(store.Add(dup(ends[1]), "other"));
  CHECK(store.count() == 3);
  int first = store.fd(0);
  int last = store.fd(2);
  CHECK(first >= keeper::kFirstHighFd);
  store.Remove("drbdts/r0/0/fuse/loop7/512");
  CHECK(store.count() == 1);
  CHECK_FALSE(IsOpen(first));
  CHECK(IsOpen(last));
  CHECK(store.fd(0) == last);
  for (const char* bad : {"", "a:b", "a\nb"}) {
    int fd = dup(ends[0]);
    CHECK_FALSE(store.Add(fd, bad));
    CHECK_FALSE(IsOpen(fd));
  }
  while (store.count() < keeper::kMaxStored) REQUIRE(store.Add(dup(ends[0]), ("n" + std::to_string(store.count())).c_str()));
  CHECK_FALSE(store.Add(dup(ends[0]), "one too many"));
  store.RemoveAll();
  CHECK(store.count() == 0);
  CHECK_FALSE(IsOpen(last));
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("keeper: a server that keeps failing is started ever more slowly, up to 2 s") {
  CHECK(keeper::BackoffMs(1) == 100);
  CHECK(keeper::BackoffMs(2) == 200);
  CHECK(keeper::BackoffMs(5) == 1600);
  CHECK(keeper::BackoffMs(6) == 2000);
  CHECK(keeper::BackoffMs(1000000) == 2000);
}

}  // namespace
}  // namespace drbdts::test
