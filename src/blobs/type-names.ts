import { readWordTable } from './word-table.ts'

/** Returns a media type in lower case and without parameters; '' for none. */
export function stripParameters(text: string | null | undefined): string {
  return text?.split(';')[0]?.trim().toLowerCase() ?? ''
}

/**
 * Parses a media type: lower case, without parameters. null for an invalid one or one longer than
 * Rails' column, 255 bytes.
 */
export function parseMediaType(text: string | null | undefined): string | null {
  const type = stripParameters(text)
  return type.length <= 255 && /^[a-z0-9][\w.+-]*\/[a-z0-9][\w.+-]*$/.test(type) ? type : null
}

/**
 * Returns the canonical name of a type, given any of its names: the registered one, a vendor's, or
 * that of `file-type`. Types are stored and compared under it. It is Marcel's, because Rails stores
 * and compares Marcel's. A type with a single name keeps it.
 */
export function toCanonicalType(type: string): string {
  const bare = stripParameters(type)
  return aliases.get(bare) ?? bare
}

/**
 * Each entry begins with the canonical name. From Marcel 2.0 (MIT; from Apache Tika, Apache 2.0),
 * IANA, `file-type` and browsers.
 */
const aliases: ReadonlyMap<string, string> = readWordTable(`
application/coreldraw application/cdr application/x-cdr application/x-coreldraw image/cdr
image/x-cdr; application/gzip application/gzip-compressed application/gzipped application/x-gunzip
application/x-gzip application/x-gzip-compressed gzip/document; application/inf
application/x-setupscript application/x-wine-extension-inf; application/java-vm application/x-java
application/x-java-vm; application/json application/x-json text/json text/x-json;
application/mac-binhex40 application/binhex application/mac-binhex; application/msword
application/vnd.ms-word application/x-msword; application/onenote application/msonenote;
application/pdf application/x-pdf; application/pgp-encrypted application/pgp; application/postscript
application/eps application/x-eps image/eps image/x-eps; application/rss+xml text/rss;
application/rtf text/rtf; application/smil+xml application/smil; application/vnd.adobe.flash.movie
application/x-shockwave-flash; application/vnd.adobe.xfdf application/xfdf;
application/vnd.debian.binary-package application/x-deb application/x-debian-package;
application/vnd.fdf application/fdf; application/vnd.kde.kchart application/x-kchart;
application/vnd.kde.kpresenter application/x-kpresenter; application/vnd.kde.kspread
application/x-kspread; application/vnd.kde.kword application/x-kword; application/vnd.koan
application/x-koan; application/vnd.lotus-1-2-3 application/x-123; application/vnd.mif
application/x-frame application/x-mif; application/vnd.ms-excel application/excel
application/msexcel application/x-excel application/x-msexcel;
application/vnd.ms-package.3dmanufacturing-3dmodel+xml model/3mf; application/vnd.ms-powerpoint
application/mspowerpoint application/powerpoint application/x-mspowerpoint; application/vnd.ms-tnef
application/ms-tnef; application/vnd.oasis.opendocument.base
application/vnd.oasis.opendocument.database; application/vnd.sun.xml.writer
application/x-vnd.sun.xml.writer; application/vnd.visio application/vnd.ms-visio;
application/x-7z-compressed application/7z application/x-7z; application/x-adobe-indesign
application/x-indesign; application/x-archive application/x-unix-archive; application/x-arj
application/x-arj-compressed; application/x-bat application/bat; application/x-berkeley-db
application/x-dbm; application/x-bzip2 application/bzip2; application/x-chrome-package
application/x-chrome-extension application/x-google-chrome-extension; application/x-dbf
application/vnd.dbf; application/x-gnumeric application/x-gnumeric-spreadsheet; application/x-lzip
application/lzip; application/x-matlab-data application/matlab-mat; application/x-ms-installer
application/x-msi application/x-windows-installer; application/x-msaccess application/msaccess
application/vnd.msaccess; application/x-nesrom application/x-nintendo-nes-rom;
application/x-ole-storage application/cdfv2 application/x-cfb application/x-tika-msoffice;
application/x-parquet application/vnd.apache.parquet; application/x-rar-compressed application/rar
application/vnd.rar application/x-rar; application/x-rpm application/x-redhat-package-manager;
application/x-shapefile application/x-esri-shape; application/x-sqlite3 application/vnd.sqlite3;
application/x-tar application/tar; application/x-tex text/x-tex; application/x-texinfo
text/x-texinfo; application/x-x509-cert application/x-x509-user-cert; application/xliff+xml
application/x-xliff+xml; application/xml application/x-xml text/xml; application/xml-dtd text/x-dtd;
application/xml-external-parsed-entity text/xml-external-parsed-entity; application/xslt+xml
text/xsl; application/yaml application/x-yaml application/x-yml text/vnd.yaml text/x-yaml text/x-yml
text/yaml; application/zip application/x-zip application/x-zip-compressed multipart/x-zip;
application/zlib application/x-deflate; audio/aac audio/aacp audio/x-aac; audio/ac3
audio/vnd.dolby.dd-raw; audio/amr audio/x-amr; audio/flac audio/x-flac; audio/midi audio/mid
audio/x-mid audio/x-midi; audio/mp4 audio/m4a audio/x-m4a audio/x-mp4a; audio/mpc audio/x-musepack;
audio/mpeg audio/mp3 audio/mpeg3 audio/x-mp3 audio/x-mpeg audio/x-mpeg-3; audio/ogg
application/x-ogg audio/opus audio/vorbis; audio/speex application/x-speex; audio/x-aiff audio/aiff;
audio/x-matroska audio/matroska; audio/x-ms-wma audio/x-ms-asf; audio/x-oggflac audio/x-ogg-flac;
audio/x-oggpcm audio/x-ogg-pcm; audio/x-pn-realaudio audio/x-realaudio; audio/x-wav audio/vnd.wave
audio/wav audio/wave audio/x-pn-wav; font/otf application/vnd.ms-opentype
application/x-font-opentype application/x-font-otf; font/ttf application/font-sfnt
application/x-font-truetype application/x-font-ttf font/collection font/sfnt; font/woff
application/font-woff application/x-font-woff; font/woff2 application/font-woff2
application/x-font-woff2; image/bmp image/x-bmp image/x-ms-bmp; image/emf application/x-emf
image/x-emf; image/gif image/x-gif; image/heic image/hevc; image/heic-sequence image/hevc-sequence;
image/jpeg image/jpg image/pjpeg image/x-jpeg image/x-jpg; image/jpm video/jpm; image/nitf
image/ntf; image/png image/apng image/vnd.mozilla.apng image/x-png; image/svg+xml
application/svg+xml image/svg; image/tiff image/tif image/x-tiff; image/vnd.adobe.photoshop
application/photoshop image/x-psd; image/vnd.dwg application/acad application/autocad_dwg
application/dwg application/x-acad application/x-autocad application/x-dwg drawing/dwg image/x-dwg;
image/vnd.microsoft.icon image/ico image/x-icon; image/vnd.zbrush.dcx image/x-dcx;
image/vnd.zbrush.pcx image/x-pc-paintbrush image/x-pcx; image/webp image/x-webp; image/wmf
application/x-msmetafile image/x-wmf; image/x-bpg image/bpg; image/x-dpx image/dpx;
image/x-emf-compressed application/x-ms-emz; image/x-jbig2 image/x-jb2; image/x-jp2-codestream
image/j2c; image/x-raw-adobe image/dng image/x-adobe-dng; image/x-raw-fuji image/x-fujifilm-raf;
image/x-raw-nikon image/x-nikon-nef; image/x-raw-olympus image/x-olympus-orf; image/x-raw-panasonic
image/x-panasonic-rw2; image/x-raw-sony image/x-sony-arw; image/x-tga image/x-targa; image/x-xcf
image/xcf; model/vnd.dwf drawing/x-dwf; model/x.stl-binary application/sla model/stl;
multipart/related application/x-mimearchive message/rfc2557; text/csv application/csv
application/x-csv text/comma-separated-values text/x-comma-separated-values text/x-csv;
text/javascript application/javascript application/x-javascript text/ecmascript text/jscript
text/x-javascript; text/markdown text/x-markdown text/x-web-markdown; text/troff application/x-troff
application/x-troff-man application/x-troff-me application/x-troff-ms; text/vcard text/directory
text/x-vcard; text/x-assembly text/x-asm; text/x-csrc text/x-c; text/x-java-properties
text/properties text/x-properties; text/x-java-source text/x-java; text/x-jsp
application/x-httpd-jsp; text/x-tcl application/x-tcl; video/daala video/x-daala; video/mj2
image/mj2; video/mp4 video/x-m4v; video/mpeg video/mp1s video/mp2p video/x-mpeg; video/ogg
video/theora video/x-theora; video/x-matroska video/matroska; video/x-ms-asf application/vnd.ms-asf;
video/x-msvideo video/avi video/msvideo video/vnd.avi; video/x-oggrgb video/x-ogg-rgb;
video/x-ogguvs video/x-ogg-uvs; video/x-oggyuv video/x-ogg-yuv
`)
