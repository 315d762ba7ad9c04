import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** A private key and its certificate, both PEM. */
export interface Identity {
  readonly key: string
  readonly cert: string
}

/** A fresh key and a self-signed certificate for 127.0.0.1 and localhost; no key is ever stored. */
export function selfSigned(): Identity {
  const { publicKey, privateKey } = newKeys()
  const signer = { name: commonName('kling test'), key: privateKey }
  return { key: pem(privateKey), cert: certificate(publicKey, signer.name, signer, true) }
}

/** The same, signed by a fresh root. `root` is the certificate of the root, PEM. */
export function signedByRoot(): Identity & { readonly root: string } {
  const [own, authority] = [newKeys(), newKeys()]
  const signer = { name: commonName('kling test root'), key: authority.privateKey }
  return {
    key: pem(own.privateKey),
    cert: certificate(own.publicKey, commonName('kling test'), signer, false),
    root: certificate(authority.publicKey, signer.name, signer, true),
  }
}

function certificate(
  publicKey: KeyObject,
  name: Buffer,
  signer: { readonly name: Buffer; readonly key: KeyObject },
  isRoot: boolean,
): string {
  const hosts = sequence(value(0x82, Buffer.from('localhost')), value(0x87, Buffer.from([127, 0, 0, 1])))
  const constraints = extension(BASIC_CONSTRAINTS, isRoot ? sequence(TRUE) : sequence())
  const facts = sequence(
    value(0xa0, integer(2)),
    integer(1),
    sequence(ECDSA_WITH_SHA256),
    signer.name,
    sequence(value(0x17, Buffer.from('200101000000Z')), value(0x18, Buffer.from('21200101000000Z'))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    value(0xa3, sequence(extension(ALTERNATIVE_NAME, hosts), constraints)),
  )
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', facts, signer.key)])
  const whole = sequence(facts, sequence(ECDSA_WITH_SHA256), value(0x03, signature))
  const base64 = whole.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`
}

const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()
const commonName = (text: string) => sequence(set(sequence(COMMON_NAME, value(0x0c, Buffer.from(text)))))

const COMMON_NAME = Buffer.from('0603550403', 'hex')
const ALTERNATIVE_NAME = Buffer.from('0603551d11', 'hex')
const BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex')
const ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex')
const TRUE = Buffer.from('0101ff', 'hex')

const sequence = (...parts: Buffer[]) => value(0x30, ...parts)
const set = (...parts: Buffer[]) => value(0x31, ...parts)
const integer = (number: number) => value(0x02, Buffer.from([number]))
const extension = (type: Buffer, content: Buffer) => sequence(type, value(0x04, content))

/** A DER value: tag, length, and content of less than 64 KiB. */
function value(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
