/** Creates a text file that is named after its content: `ada.txt` holds "ada". */
export const textFile = (content: string): { io: Buffer; filename: string } => ({
  io: Buffer.from(content),
  filename: `${content}.txt`,
})
