import { readFileSync } from 'node:fs';
import path from 'node:path';

const WORDS = {
  opening: 'OPENING',
  qrcode: 'qrcode',
  connected: 'CONNECTED',
  pending: 'PENDING',
  disconnected: 'DISCONNECTED',
};

const DEFAULTS = {
  data_dir: undefined,
  log_dir: undefined,
  api_port: 0,
  control_port: 0,
  wa_port: 0,
  sessions: [2, 26, 27],
  peers_per_session: 3,
  message_interval_ms: 500,
  store: 'files',
  session_path: undefined,
  redis_url: undefined,
  creds_table: null,
  status_words: WORDS,
  admin_email: 'admin@sandbox.test',
  admin_password: 'sandbox-password',
  token_seconds: 900,
  auto_scan: false,
};

const isPort = value => Number.isInteger(value) && value >= 0 && value <= 65535;
const isWhole = (least, most) => value => Number.isInteger(value) && value >= least && value <= most;
const isText = value => typeof value === 'string' && value.length > 0;

const CHECKS = {
  data_dir: [isText, 'a folder'],
  log_dir: [isText, 'a folder'],
  api_port: [isPort, 'a port, 0 for any'],
  control_port: [isPort, 'a port, 0 for any'],
  wa_port: [isPort, 'a port, 0 for any'],
  sessions: [
    value =>
      Array.isArray(value) &&
      value.length > 0 &&
      new Set(value).size === value.length &&
      value.every(isWhole(1, 999_999)),
    'a list of different ids from 1 to 999999',
  ],
  peers_per_session: [isWhole(1, 40), 'a whole number from 1 to 40'],
  message_interval_ms: [value => value === 0 || isWhole(20, 3_600_000)(value), '0 or milliseconds from 20'],
  store: [value => ['files', 'redis'].includes(value), '"files" or "redis"'],
  session_path: [isText, 'a folder'],
  redis_url: [value => value === undefined || isText(value), 'a redis:// URL'],
  creds_table: [isCredsTable, 'null or an object with database_url, table, id_column and creds_column'],
  status_words: [
    value => value && Object.keys(value).every(key => key in WORDS && isText(value[key])),
    `an object with some of ${Object.keys(WORDS).join(', ')}`,
  ],
  admin_email: [isText, 'a text'],
  admin_password: [isText, 'a text'],
  token_seconds: [isWhole(1, 86_400), 'seconds from 1'],
  auto_scan: [value => typeof value === 'boolean', 'true or false'],
};

function isCredsTable(value) {
  if (value === null) return true;
  return ['database_url', 'table', 'id_column', 'creds_column'].every(key => isText(value?.[key]));
}

/**
 * @param {string} file JSON
 * @returns {typeof DEFAULTS}
 * @throws {Error} one sentence that names the key
 */
export function loadConfig(file) {
  const given = parse(file, readFileSync(file, 'utf8'));
  const unknown = Object.keys(given).filter(key => !(key in DEFAULTS));
  if (unknown.length > 0)
    throw new Error(`${file}: unknown key ${unknown[0]}; known are ${Object.keys(DEFAULTS).join(', ')}`);
  const config = { ...DEFAULTS, ...given };
  config.log_dir ??= isText(config.data_dir) ? path.join(config.data_dir, 'logs') : '';
  config.session_path ??= isText(config.data_dir) ? path.join(config.data_dir, 'sessions') : '';
  for (const [key, [check, wanted]] of Object.entries(CHECKS)) {
    if (!check(config[key])) throw new Error(`${file}: ${key} must be ${wanted}`);
  }
  if (config.store === 'redis' && !config.redis_url) throw new Error(`${file}: store "redis" needs redis_url`);
  config.status_words = { ...WORDS, ...config.status_words };
  return config;
}

function parse(file, text) {
  let given;
  try {
    given = JSON.parse(text);
  } catch {
    throw new Error(`${file} is not JSON`);
  }
  if (given === null || typeof given !== 'object' || Array.isArray(given))
    throw new Error(`${file} is not a JSON object`);
  return given;
}
