import { readWordTable } from './word-table.ts'

/**
 * Types by extension, where Marcel 2.0 and the package `mime` differ or only Marcel knows one.
 * Rails reads the same rows and stores Marcel's types. From Marcel's tables (MIT), which come from
 * Apache Tika (Apache 2.0). In lower case, without parameters.
 */
export const marcelExtensions: ReadonlyMap<string, string> = readWordTable(`
application/bizagi-modeler bpm; application/cbor cbor; application/coreldraw cdr;
application/dif+xml dif; application/dita+xml dita ditamap ditaval; application/envi.hdr hdr;
application/fits fit fits fts; application/gzip tgz; application/hwp+zip hwpx;
application/illustrator ai; application/pgp-encrypted gpg; application/postscript epsf epsi;
application/rdf+xml xmp; application/sereal srl; application/sldworks sldasm slddrw sldprt;
application/smil+xml sml; application/vnd.adobe.aftereffects.project aep;
application/vnd.adobe.aftereffects.template aet; application/vnd.adobe.flash.movie swf;
application/vnd.adobe.indesign-idml-package idml; application/vnd.adobe.xfdf xfdf;
application/vnd.arastra.swi swi; application/vnd.debian.binary-package deb udeb;
application/vnd.etsi.asic-e+zip asice; application/vnd.etsi.asic-s+zip asics; application/vnd.fdf
fdf; application/vnd.hzn-3d-crossword x3d; application/vnd.iptc.g2.newsmessage+xml nar;
application/vnd.java.hprof hprof; application/vnd.lotus-1-2-3 wk1 wk2 wk3 wk4;
application/vnd.mindjet.mindmanager mmap mmas mmat mmmp mmp mmpt; application/vnd.ms-access accdb
accde mdb mde; application/vnd.ms-excel xld xll; application/vnd.ms-outlook-pst ost pst;
application/vnd.ms-package.3dmanufacturing-3dmodel+xml 3mf; application/vnd.ms-powerpoint ppa ppz;
application/vnd.ms-project mpp; application/vnd.ms-visio.drawing vsdx;
application/vnd.ms-visio.drawing.macroenabled.12 vsdm; application/vnd.ms-visio.stencil vssx;
application/vnd.ms-visio.stencil.macroenabled.12 vssm; application/vnd.ms-visio.template vstx;
application/vnd.ms-visio.template.macroenabled.12 vstm; application/vnd.msa-disk-image msa;
application/vnd.oasis.opendocument.base odb; application/vnd.oasis.opendocument.flat.presentation
fodp; application/vnd.oasis.opendocument.flat.spreadsheet fods;
application/vnd.oasis.opendocument.flat.text fodt; application/vnd.oasis.opendocument.text-master
otm; application/vnd.openofficeorg.autotext bau;
application/vnd.openxmlformats-officedocument.presentationml.presentation thmx;
application/vnd.tcpdump.pcapng pcapng; application/vnd.wolfram.wl wl; application/vnd.wordperfect
w60 wp wp5 wp6 wp61 wpt; application/warc warc; application/x-adobe-indesign indd;
application/x-adobe-indesign-interchange inx; application/x-amf amf; application/x-amiga-disk-format
adf; application/x-apple-diskimage dmg; application/x-appleworks cwk; application/x-archive a ar;
application/x-asprs las laz; application/x-axcrypt axx; application/x-bat bat cmd;
application/x-bibtex-text-file bib bibtex; application/x-brotli br brotli; application/x-bzip tbz;
application/x-bzip2 tbz2; application/x-cdf cda; application/x-chrome-package crx;
application/x-compress z; application/x-corelpresentations shw; application/x-csh tcsh;
application/x-dbf dbase dbase3 dbf; application/x-dex dex; application/x-dosexec exe;
application/x-dvd-ifo bup ifo; application/x-endnote-refer enr enw; application/x-endnote-style ens;
application/x-erdas-hfa hfa; application/x-esri-layer lyr; application/x-fictionbook+xml fb2;
application/x-filemaker fp7; application/x-font-adobe-metric acfm afm amfm;
application/x-font-printer-metric pfm; application/x-geopackage gpkg; application/x-gnucash gnucash;
application/x-grib grb grb1 grb2; application/x-guitar-pro gp4; application/x-hdf h5 he5;
application/x-ibooks+zip ibooks; application/x-internet-archive arc; application/x-iso9660-image
iso; application/x-itunes-ipa ipa; application/x-java-jnilib jnilib; application/x-java-keystore
jks; application/x-java-pack200 pack; application/x-jeol-jdf jdf; application/x-killustrator kil;
application/x-lz4 lz4; application/x-lzip lz; application/x-lzma lzma; application/x-matlab-data
mat; application/x-memgraph memgraph; application/x-mobipocket-ebook prc; application/x-ms-asx asx;
application/x-ms-installer msi msp mst; application/x-msdownload dll;
application/x-mysql-misam-compressed-index myi; application/x-mysql-misam-data myd;
application/x-nesrom nes; application/x-openscad scad; application/x-parquet parquet;
application/x-project mpx; application/x-prt prt; application/x-quattro-pro qpw wb1 wb2 wb3 wkq wq1
wq2; application/x-rar-compressed rar; application/x-roxio-toast toast; application/x-rpm rpm;
application/x-sas sas; application/x-sas-access sa7 sas7bacs; application/x-sas-audit sas7baud st7;
application/x-sas-backup sas7bbak; application/x-sas-catalog sas7bcat sc7; application/x-sas-data
sas7bdat sd7; application/x-sas-data-index sas7bndx si7; application/x-sas-data-v6 sd2;
application/x-sas-dmdb s7m sas7bdmd; application/x-sas-fdb sas7bfdb sf7; application/x-sas-itemstor
sas7bitm sr7; application/x-sas-mddb sas7bmdb sm7; application/x-sas-program-data sas7bpgm ss7;
application/x-sas-putility sas7bput sp7; application/x-sas-transport stx; application/x-sas-utility
sas7butl su7; application/x-sas-view sas7bvew sv7; application/x-sas-xport xport xpt;
application/x-sfdu sfdu; application/x-sh bash; application/x-shapefile shp; application/x-sibelius
sib; application/x-snappy-framed sz; application/x-spectrum-tzx tzx; application/x-spss-sav sav;
application/x-staroffice-template vor; application/x-stata-do do; application/x-stata-dta dta;
application/x-tex-virtual-font vf; application/x-tika-java-enterprise-archive ear;
application/x-tika-java-web-archive war; application/x-tika-msworks-spreadsheet xlr;
application/x-tmx tmx; application/x-uc2-compressed uc2; application/x-vmdk vmdk;
application/x-webarchive webarchive; application/x-x509-cert crt der; application/x-xliff+zip xlz;
application/x-xmind xmind; application/x-zoo zoo; application/xhtml+xml xhtml2;
application/xliff+xml xliff; application/xquery xq xquery; application/xslfo+xml fo xslfo;
application/yaml yaml yml; application/zip zipx; application/zstd zst; audio/ac3 ac3; audio/flac
flac; audio/mpc mpc; audio/speex spx; audio/vnd.adobe.soundbooth asnd; audio/x-mod mod; audio/x-psf
gslib minigsf minipsf minipsf1 psf1 psflib; audio/x-sap sap; audio/x-wav wav; chemical/x-pdb pdb;
font/ttf ttc; image/icns icns; image/jpeg jfi jfif jif; image/nitf nitf ntf;
image/vnd.adobe.photoshop psb; image/vnd.adobe.premiere ppj; image/vnd.dgn cel dgn dgnlib;
image/vnd.dxb dxb; image/vnd.zbrush.dcx dcx; image/x-bpg bpg; image/x-canon-cr2 cr2;
image/x-canon-cr3 cr3; image/x-dpx dpx; image/x-emf-compressed emz; image/x-freehand fh10 fh11 fh12
fh40 fh50 fh8 fh9 ft10 ft11 ft12 ft7 ft8 ft9; image/x-jbig2 jb2 jbig2; image/x-jp2-codestream j2c;
image/x-pict pict; image/x-portable-arbitrarymap pam; image/x-raw-adobe dng; image/x-raw-canon crw;
image/x-raw-casio bay; image/x-raw-epson erf; image/x-raw-fuji raf; image/x-raw-hasselblad 3fr;
image/x-raw-imacon fff; image/x-raw-kodak dcs drf k25 kdc; image/x-raw-leaf mos;
image/x-raw-logitech pxn; image/x-raw-mamiya mef; image/x-raw-minolta mrw; image/x-raw-nikon nef
nrw; image/x-raw-olympus orf; image/x-raw-panasonic raw rw2; image/x-raw-pentax pef ptx;
image/x-raw-phaseone iiq; image/x-raw-rawzor rwz; image/x-raw-red r3d; image/x-raw-sigma x3f;
image/x-raw-sony arw sr2 srf; image/x-tga icb vda; image/x-xcf xcf; message/x-emlx emlx; model/e57
e57; model/vnd.dwfx+xps dwfx; model/vnd.mts mts; model/x.stl-binary stl; multipart/related mht
mhtml; text/asp asp; text/aspdotnet aspx; text/iso19139+xml iso19139; text/markdown mdtext mkd;
text/plain aart ac am apt asc bsh classpath cnd cwiki data dcl dsp dsw egrm ent fn ft fv g grm
handlers htc ihtml jmx junit jx m4 manifest mdo meta mf n3 pen pod pom project rng rnx roles schemas
tld types vm vsl wsdd xargs xcat xegrm xgrm xlex xlog xmap xroles xsamples xsp xtest xweb xwelcome;
text/troff nroff; text/vcard vcf; text/vnd.iptc.anpa anpa; text/x-actionscript as; text/x-ada ada
adb ads; text/x-applescript applescript; text/x-asciidoc ad adoc asciidoc; text/x-aspectj aj;
text/x-assembly asm s; text/x-awk awk; text/x-basic bas; text/x-c++hdr h h++ hh hp hpp hxx;
text/x-c++src c c++ cc cpp cxx; text/x-cgi cgi; text/x-clojure clj; text/x-cobol cbl cob;
text/x-coffeescript coffee; text/x-coldfusion cfc cfm cfml; text/x-common-lisp cl jl lisp lsp;
text/x-config cfg conf config xconf; text/x-csharp cs; text/x-d d; text/x-diff diff patch;
text/x-eiffel e; text/x-emacs-lisp el; text/x-erlang erl; text/x-expect exp; text/x-forth 4th;
text/x-go go; text/x-groovy groovy; text/x-haml haml; text/x-haskell hs lhs; text/x-haxe hx;
text/x-idl idl; text/x-ini ini; text/x-java-properties properties; text/x-jsp jsp; text/x-less less;
text/x-lex l; text/x-log log; text/x-ml ml; text/x-modula i3 ig m3 mg; text/x-objcsrc m;
text/x-ocaml mli ocaml; text/x-pascal dpr pp; text/x-perl al perl pl pm; text/x-php php php3 php4;
text/x-prolog pro; text/x-python py; text/x-rexx rexx; text/x-rsrc r; text/x-rst rest restx rst;
text/x-ruby rb; text/x-scala scala; text/x-scheme scm; text/x-sed sed; text/x-stsrc st; text/x-tcl
itk tcl tk; text/x-vbasic cls frm; text/x-vbdotnet vb; text/x-vbscript vbs; text/x-verilog v;
text/x-vhdl vhd vhdl; text/x-yacc y; video/mp4 m4v; video/x-dirac drc; video/x-flc flc; video/x-jng
jng; video/x-ogm ogm
`)
