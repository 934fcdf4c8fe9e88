{
  'target_defaults': {
    'include_dirs': ['.'],
    'cflags': ['-O2', '-g', '-Wall', '-Wextra'],
    'cflags!': ['-O3', '-Os', '-Wno-unused-parameter'],
    'cflags_cc': ['-std=c++20'],
    'cflags_cc!': ['-std=gnu++14', '-std=gnu++17', '-std=gnu++20'],
    'configurations': {
      'Release': { 'cflags!': ['-O3'], 'cflags': ['-O2'] },
    },
  },
  'targets': [
    {
      # Pure: no system calls, no threads, no clocks.
      'target_name': 'core',
      'type': 'static_library',
      'sources': ['<!@(ls core/*.cc)'],
      'cflags_cc': ['-fno-exceptions', '-fno-rtti'],
    },
    {
      'target_name': 'io_engine',
      'type': 'static_library',
      'sources': ['<!@(ls io/*.cc engine/*.cc frontend/*.cc)'],
      'cflags_cc': ['-fno-exceptions', '-fno-rtti'],
    },
    {
      'target_name': 'drbdts',
      'type': 'loadable_module',
      'dependencies': ['io_engine', 'core'],
      'sources': ['<!@(ls addon/*.cc)'],
      'include_dirs': ['<!@(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': ['NAPI_VERSION=9', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
      'cflags_cc': ['-fno-exceptions', '-fno-rtti'],
      'libraries': ['-luring'],
    },
    {
      # Packet sockets, rtnetlink and priority for the cluster manager; stands alone.
      'target_name': 'drbdts_net',
      'type': 'loadable_module',
      'sources': ['<!@(ls net/*.cc)'],
      'include_dirs': ['<!@(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': ['NAPI_VERSION=9', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
      'cflags_cc': ['-fno-exceptions', '-fno-rtti'],
    },
    {
      # Holds open device descriptors where there is no systemd; stands alone.
      'target_name': 'drbdts-keeper',
      'type': 'executable',
      'sources': ['<!@(ls keeper/*.cc)'],
      'cflags_cc': ['-fno-exceptions', '-fno-rtti'],
      'ldflags': ['-static'],  # it must outlive upgrades of everything else
    },
    {
      # Lives of a pair by seed, over the same core.
      'target_name': 'sim',
      'type': 'executable',
      'dependencies': ['core'],
      'sources': ['<!@(ls sim/*.cc sim/checkers/*.cc)'],
    },
    {
      'target_name': 'core_test',
      'type': 'executable',
      'include_dirs': ['../test/native'],
      'dependencies': ['io_engine', 'core'],
      'sources': ['<!@(ls ../test/native/*.cc ../test/native/support/pair.cc)', '<!@(ls keeper/*.cc | grep -v main)'],
      'cflags_cc': ['-fexceptions', '-frtti', '-O1'],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti'],
      'libraries': ['-luring', '-lz', '-lpthread'],
    },
  ],
}
