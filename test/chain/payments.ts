import { signInferTransaction, type Payment } from '../../src/chain/signing.js'
import { readPayment, type PaidTask, type SignedPayment } from '../../src/chain/payment.js'
import { USER } from './vectors.js'

/** As today's client signs, by `USER` on testnet. */
export const T1 = {
  hex: [
    '80800000000400fc7250a211deddc70ee5a2738de5f07817351cef0000000000000007000000000000012c0000a6641a60bdbc6e',
    'ff69c766509229147e2f53df5d55097534d9039a1993430c9f018a8e4e54c8da4d4b9f24e61949eaef5e02f4c350556eac4c3d4b',
    '399bbcb9bd03020000000009051afc7250a211deddc70ee5a2738de5f07817351cef00000000000009c410576861742069732061',
    '206c656173653f00050000000000000000000000000000000000000000000a6c6c616d612d332d386200',
  ].join(''),
  txid: 'e394f34b9fb3c664ade676f4b748511341e655c21a7499c20eeaf0cb4feaec93',
  initial: '1226a5aca3f629d0c6b281ddff51a409e66d67d33d8eac051296c719592c2e02',
  presign: '21a97ac8ea22356fb62caa912d0268d419a6915678fc55bf73f9e02cb700615f',
}
/** The same, filled in with the principal of `NODE` and this output. */
export const T1_FILLED = {
  hex: [
    '80800000000400fc7250a211deddc70ee5a2738de5f07817351cef0000000000000007000000000000012c0000a6641a60bdbc6e',
    'ff69c766509229147e2f53df5d55097534d9039a1993430c9f018a8e4e54c8da4d4b9f24e61949eaef5e02f4c350556eac4c3d4b',
    '399bbcb9bd03020000000009051afc7250a211deddc70ee5a2738de5f07817351cef00000000000009c410576861742069732061',
    '206c656173653f00051a3bc28d6d92d9073fb5e3adf481795eaf446bceed0a6c6c616d612d332d38624062303366386537396535',
    '36333634646663626330386364373336383738646666313530663963653763653036396661383265373638376333356430323938',
    '3930',
  ].join(''),
  output: 'A time-limited right.',
  outputHash: 'b03f8e79e56364dfcbc08cd736878dff150f9ce7ce069fa82e7687c35d029890',
}
/** With both texts encrypted, of which it has the placeholders. */
export const T3 = {
  hex: [
    '80800000000400fc7250a211deddc70ee5a2738de5f07817351cef0000000000000008000000000000012c0000ad5a782802959f',
    '7385bd234b346b657008527e09f1d916f754fb60354ceb9c9d53b077d91c85b6f4dcc9b99d0753e826edb61a9387c18aa012c005',
    '7dab3fa3cd03020000000009051afc7250a211deddc70ee5a2738de5f07817351cef00000000000009c414656e633a3438306366',
    '633634353034623933376414656e633a306462353830343265333161366439640500000000000000000000000000000000000000',
    '00000a6c6c616d612d332d386200',
  ].join(''),
  txid: 'e2744bbe91dbd59ca2c1463217197fc67d85e2a134f714721f385c587afbebaf',
  user_input:
    '{"signer_public_key":"032c0b7cf95324a07d05398b240174dc0c2be444d96b159aa6c7f7b1e668680991","ephemeral_public_key":"02b6332d480beee2efa59e01b5d579cda1c5415e74efc42e03c7982e8d8c9836b8","ciphertext":"348cb765e220709ae15fe1120ddc2ca82cba912d3d3df89759648321122e2906","nonce":"e0050425b6a5e28cd4b0086d"}',
  context:
    '{"signer_public_key":"032c0b7cf95324a07d05398b240174dc0c2be444d96b159aa6c7f7b1e668680991","ephemeral_public_key":"025f5d5c8acd2caf8a5b0d50420a21c0a4d494ba81c9f8def41d776cd38e65250e","ciphertext":"7a0afd5ac81d1ba44097700995ec7458","nonce":"35437acd85d39e575e0dd8ed"}',
}

/** What the chain answers about a stake. */
export const STAKE = [
  '0x0a0c000000050b616d6f756e742d757374780100000000000000000000000001312d000b6c6f636b2d706572696f6401000000',
  '000000000000000000000008340a6c6f636b2d737461727401000000000000000000000000000003e8076e6f64652d6964020000',
  '00206e6f64652d3030310000000000000000000000000000000000000000000000000d756e6c6f636b2d68656967687401000000',
  '00000000000000000000000c1c',
].join('')

/** What T1 says, as its task and as what is signed. */
export const TASK: PaidTask = {
  user_address: USER.testnet,
  user_input: 'What is a lease?',
  context: '',
  model_name: 'llama-3-8b',
  fee: 300,
  nonce: 7,
  infer_fee: 2500,
  is_encrypted: false,
}
export const PAYMENT: Payment = {
  network: 'testnet',
  privateKey: USER.privateKey,
  nonce: 7,
  fee: 300,
  amount: 2500,
  userInput: 'What is a lease?',
  context: '',
  modelName: 'llama-3-8b',
}

/** T1 with something else in it, signed. */
export const signed = (change: Partial<Payment> = {}): SignedPayment =>
  readPayment(signInferTransaction({ ...PAYMENT, ...change }).toString('hex'))
