export const id = 158;
export const ids = [158];
export const modules = {

/***/ 9158:
/***/ ((__unused_webpack___webpack_module__, __webpack_exports__, __webpack_require__) => {

/* harmony export */ __webpack_require__.d(__webpack_exports__, {
/* harmony export */   findFfprobe: () => (/* binding */ findFfprobe)
/* harmony export */ });
/* harmony import */ var node_crypto__WEBPACK_IMPORTED_MODULE_0__ = __webpack_require__(7598);
/* harmony import */ var node_fs__WEBPACK_IMPORTED_MODULE_1__ = __webpack_require__(3024);
/* harmony import */ var node_fs_promises__WEBPACK_IMPORTED_MODULE_2__ = __webpack_require__(1455);
/* harmony import */ var node_path__WEBPACK_IMPORTED_MODULE_3__ = __webpack_require__(6760);
/* harmony import */ var node_stream_promises__WEBPACK_IMPORTED_MODULE_4__ = __webpack_require__(6466);
/* harmony import */ var _actions_io__WEBPACK_IMPORTED_MODULE_5__ = __webpack_require__(8701);
/* harmony import */ var _actions_tool_cache__WEBPACK_IMPORTED_MODULE_6__ = __webpack_require__(9805);
/* harmony import */ var tinyexec__WEBPACK_IMPORTED_MODULE_7__ = __webpack_require__(5168);
/* harmony import */ var _failure_js__WEBPACK_IMPORTED_MODULE_8__ = __webpack_require__(9874);
/* harmony import */ var _report_format_js__WEBPACK_IMPORTED_MODULE_10__ = __webpack_require__(2772);
/* harmony import */ var _ffprobe_js__WEBPACK_IMPORTED_MODULE_9__ = __webpack_require__(5094);
/**
 * Which ffprobe to use: the one the user names, the machine's own, one in the runner's tool cache, and at last
 * the pinned npm package `ffprobe-static`, whose programs are known by their sha256.
 */











const PACKAGE = 'ffprobe-static';
const VERSION = '3.1.0';
const INSTALL_TIMEOUT = 180_000;
/** sha256 of the programs in ffprobe-static 3.1.0. There is none for Linux arm64. */
const SHA256 = {
    'darwin/arm64': '5b592e56f87ff754d94dadf99f38b4d0fb7d463eb780b50e0ca061d668d0e3f7',
    'darwin/x64': '90fddf93d25a520bbda09e02f1f53a91f04acd1ef9b79e6dc602dc4dc6951f67',
    'linux/ia32': 'e5f6517a0d951f1a5e53f23f0cc7953dabf5659577a8cf25bbcce407e19f54ee',
    'linux/x64': 'e3624d8ff953c7e2f1f3e3ee24bfa64399bcb3bd5c302b2216d3f794b31bbbf6',
    'win32/ia32': 'cc7a6d6b868178c65810c9dd3b7c9b977a978fade4372e7319a2d9cd8d2a19d6',
    'win32/x64': '4303ec85855340689b1f8aa5d9c1dc06ef3e3090682de3034edc3fca2b0798d5',
};
const REMEDY = 'Install ffmpeg on the runner, or name an ffprobe in ffprobe_path';
/**
 * Finds an ffprobe, installing one only when there is none.
 *
 * @param ffprobePath the input `ffprobe_path`, `''` for none
 * @param folder an empty folder for the installation, the caller's to remove
 * @throws Failure `invalid_input` when `ffprobe_path` is no program
 * @throws ProbeFailed when there is no ffprobe and none can be installed
 */
async function findFfprobe(ffprobePath, folder, signal) {
    if (ffprobePath !== '') {
        if (await isExecutable(ffprobePath))
            return { path: (0,node_path__WEBPACK_IMPORTED_MODULE_3__.resolve)(ffprobePath), origin: 'ffprobe_path' };
        throw new _failure_js__WEBPACK_IMPORTED_MODULE_8__/* .Failure */ .HR('invalid_input', [
            `ffprobe_path "${(0,_report_format_js__WEBPACK_IMPORTED_MODULE_10__/* .oneLine */ .TN)(ffprobePath, 200)}": There is no program at this path. Name an ffprobe on the runner, or leave it out.`,
        ]);
    }
    const onPath = await (0,_actions_io__WEBPACK_IMPORTED_MODULE_5__/* .which */ .K7)('ffprobe');
    if (onPath)
        return { path: onPath, origin: 'the PATH' };
    const platform = `${process.platform}/${process.arch}`;
    const sha256 = SHA256[platform];
    if (!sha256)
        throw new _ffprobe_js__WEBPACK_IMPORTED_MODULE_9__/* .ProbeFailed */ .Q(`there is no ffprobe on this runner, and none to install for ${platform}. ${REMEDY}`);
    const program = process.platform === 'win32' ? 'ffprobe.exe' : 'ffprobe';
    const cached = process.env.RUNNER_TOOL_CACHE ? (0,_actions_tool_cache__WEBPACK_IMPORTED_MODULE_6__/* .find */ .I6)(PACKAGE, VERSION) : '';
    if (cached && (await hasSha256((0,node_path__WEBPACK_IMPORTED_MODULE_3__.join)(cached, program), sha256))) {
        return { path: (0,node_path__WEBPACK_IMPORTED_MODULE_3__.join)(cached, program), origin: 'the tool cache' };
    }
    const installed = (0,node_path__WEBPACK_IMPORTED_MODULE_3__.join)(await install(folder, signal), 'bin', process.platform, process.arch, program);
    if (!(await hasSha256(installed, sha256))) {
        throw new _ffprobe_js__WEBPACK_IMPORTED_MODULE_9__/* .ProbeFailed */ .Q(`the ffprobe that npm installed is not the known one (its sha256 differs). ${REMEDY}`);
    }
    await (0,node_fs_promises__WEBPACK_IMPORTED_MODULE_2__.chmod)(installed, 0o755);
    const origin = `npm, ${PACKAGE} ${VERSION}`;
    if (!process.env.RUNNER_TOOL_CACHE)
        return { path: installed, origin };
    return { path: (0,node_path__WEBPACK_IMPORTED_MODULE_3__.join)(await (0,_actions_tool_cache__WEBPACK_IMPORTED_MODULE_6__/* .cacheFile */ .NJ)(installed, program, PACKAGE, VERSION), program), origin };
}
/** Installs the package through the runner's own npm, so that its registry, mirror and proxy settings hold. */
async function install(folder, signal) {
    const options = [
        '--prefix',
        folder,
        '--no-save',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        '--loglevel=error',
    ];
    const limit = AbortSignal.timeout(INSTALL_TIMEOUT);
    try {
        const result = await (0,tinyexec__WEBPACK_IMPORTED_MODULE_7__.x)('npm', ['install', ...options, `${PACKAGE}@${VERSION}`], {
            signal: AbortSignal.any([signal, limit]),
            nodePath: false,
            nodeOptions: { cwd: folder, windowsHide: true },
        });
        if (result.exitCode === 0)
            return (0,node_path__WEBPACK_IMPORTED_MODULE_3__.join)(folder, 'node_modules', PACKAGE);
        const [reason] = result.stderr.trim().split('\n');
        throw new Error(limit.aborted ? `no end within ${INSTALL_TIMEOUT / 1000} s` : reason || `exit code ${result.exitCode}`);
    }
    catch (error) {
        signal.throwIfAborted();
        const reason = error instanceof Error ? error.message : String(error);
        throw new _ffprobe_js__WEBPACK_IMPORTED_MODULE_9__/* .ProbeFailed */ .Q(`there is no ffprobe on this runner, and npm could not install one (${reason}). ${REMEDY}`);
    }
}
async function isExecutable(path) {
    return (0,node_fs_promises__WEBPACK_IMPORTED_MODULE_2__.access)(path, node_fs_promises__WEBPACK_IMPORTED_MODULE_2__.constants.X_OK).then(() => true, () => false);
}
async function hasSha256(path, expected) {
    const hash = (0,node_crypto__WEBPACK_IMPORTED_MODULE_0__.createHash)('sha256');
    return (0,node_stream_promises__WEBPACK_IMPORTED_MODULE_4__.pipeline)((0,node_fs__WEBPACK_IMPORTED_MODULE_1__.createReadStream)(path), hash).then(() => hash.digest('hex') === expected, () => false);
}


/***/ })

};
