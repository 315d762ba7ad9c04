/**
 * One call of one client, as in its documentation, in its own process: `client.mjs <client> <server URL> [timeout in
 * ms]`. The exit code shows whether there was a video.
 *
 * Everything but the key and the URL is the client's default. If a client has no setting for the URL, or refuses local
 * ones, a comment explains the option used instead. The timeout is only set if the server will be silent: the default
 * would take too long.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, setGlobalDispatcher } from 'undici'

const KEY = 'key-of-nobody'
const PROMPT = 'The person in the picture turns around and waves.'
const IMAGE = 'https://example.com/ref-image.png'
const VIDEO = 'https://example.com/ref-video-8s.mp4'

const CALLS = {
  async 'fal-js'(server) {
    const { fal } = await import('@fal-ai/client')
    // The queue's URL is fixed, but a middleware can change it.
    const requestMiddleware = async (request) => ({
      ...request,
      url: request.url.replace('https://queue.fal.run', server),
    })
    fal.config({ credentials: KEY, requestMiddleware })
    const input = { prompt: PROMPT, image_url: IMAGE, video_url: VIDEO, character_orientation: 'image' }
    const { data } = await fal.subscribe('fal-ai/kling-video/v2.6/pro/motion-control', { input })
    return data.video.url
  },

  async runwayml(server, timeout) {
    const { default: RunwayML } = await import('@runwayml/sdk')
    const client = new RunwayML({ apiKey: KEY, baseURL: server, ...timeout })
    const task = await client.imageToVideo
      .create({ model: 'gen4_turbo', promptImage: IMAGE, ratio: '1280:720', promptText: PROMPT })
      .waitForTaskOutput()
    return task.output[0]
  },

  async 'openai-node'(server, timeout) {
    const { default: OpenAI } = await import('openai')
    const client = new OpenAI({ apiKey: KEY, baseURL: `${server}/v1`, ...timeout })
    let video = await client.videos.create({ model: 'sora-2', prompt: PROMPT })
    // This client leaves the waiting to its caller.
    while (video.status === 'queued' || video.status === 'in_progress') {
      await sleep(500)
      video = await client.videos.retrieve(video.id)
    }
    return (await client.videos.downloadContent(video.id)).url
  },

  async replicate(server) {
    const { default: Replicate } = await import('replicate')
    const replicate = new Replicate({ auth: KEY, baseUrl: `${server}/v1` })
    return replicate.run('kwaivgi/kling-v2.6-motion-control', {
      input: { prompt: PROMPT, image: IMAGE, video: VIDEO },
    })
  },

  async 'vercel/ai'(server) {
    const { experimental_generateVideo: generateVideo } = await import('ai')
    const { createReplicate } = await import('@ai-sdk/replicate')
    const replicate = createReplicate({ apiToken: KEY, baseURL: `${server}/v1` })
    const { video } = await generateVideo({
      model: replicate.video('minimax/video-01'),
      prompt: PROMPT,
      // The client's own download refuses addresses of this machine.
      download: async ({ url }) => ({
        data: await (await fetch(url)).bytes(),
        mediaType: 'video/mp4',
      }),
    })
    return video.mediaType
  },
}

const [client, server, milliseconds] = process.argv.slice(2)
const timeout = milliseconds === undefined ? {} : { timeout: Number(milliseconds) }
// A client without its own timeout has that of Node's fetch, 300 s.
if (milliseconds !== undefined && !['runwayml', 'openai-node'].includes(client)) {
  setGlobalDispatcher(new Agent({ headersTimeout: Number(milliseconds) }))
}
if (!(await CALLS[client](server, timeout))) throw new Error('there is no video')
