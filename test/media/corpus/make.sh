#!/usr/bin/env bash
# Regenerates every file of the corpus next to this script. Needs ffmpeg 5.1 with x264, x265, libaom and libvpx, and
# Python 3. Another version of ffmpeg can produce different bytes, so run `node test/media/describe.ts` afterwards.
set -euo pipefail
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# --- how clips are made ---

# picture <width> <height> <frames per second> <seconds>: a pale block that moves across a plain wall.
picture() {
  echo "color=steelblue:s=$1x$2:r=$3:d=$4[wall];color=white:s=40x80:r=$3:d=$4[block];[wall][block]overlay=x=40+20*t:y=H/2-40"
}
# plain <width> <height> <frames per second> <seconds>: a single colour, which takes the fewest bytes.
plain() { echo "color=steelblue:s=$1x$2:r=$3:d=$4"; }
# tone <seconds>
tone() { echo "sine=f=330:r=16000:d=$1"; }

ff() { ffmpeg -nostdin -v error -y "$@"; }
edit() { python3 boxes.py "$@"; }

exact=(-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1)
h264=(-c:v libx264 -preset veryfast -crf 30 -bf 0 -threads 1 -pix_fmt yuv420p)
aac=(-c:a aac -b:a 8k)
copy=("${exact[@]}" -c copy)
first=(-movflags +faststart)

# clip <file> <picture> <tone> <output options>...
clip() {
  local file=$1 video=$2 audio=$3
  shift 3
  ff -f lavfi -i "$video" -f lavfi -i "$audio" "${h264[@]}" "${aac[@]}" "${exact[@]}" "$@" "$file"
}
# silent <file> <picture> <output options>...
silent() {
  local file=$1 video=$2
  shift 2
  ff -f lavfi -i "$video" "${h264[@]}" "${exact[@]}" "$@" "$file"
}

# --- where the header is, and how it is written ---

clip header-first.mp4 "$(picture 360 640 10 5)" "$(tone 5)" "${first[@]}"
clip header-last.mp4 "$(picture 360 640 10 5)" "$(tone 5)"
clip header-first.mov "$(picture 360 640 10 5)" "$(tone 5)" "${first[@]}"
edit far_header header-first.mp4 header-beyond-64k.mp4
edit long_media header-last.mp4 header-last-beyond-64k.mp4
# B-frames at a thousand frames per second need long tables.
silent header-over-64k.mp4 "$(plain 360 360 1000 5.6)" "${first[@]}" -bf 3 -g 10000
edit large_offsets header-last.mp4 large-offsets.mp4
edit no_ftyp header-first.mov no-ftyp.mov
ff -i header-first.mp4 "${copy[@]}" -movflags +faststart+use_metadata_tags -metadata com.example.take=3 metadata-tags.mp4

# --- tracks and their timing ---

silent silent.mp4 "$(picture 360 640 10 5)" "${first[@]}"
ff -ss 1.3 -i header-first.mp4 "${copy[@]}" "${first[@]}" edit-list.mp4
ff -i silent.mp4 -itsoffset 1 -i header-first.mp4 -map 0:v -map 1:a "${copy[@]}" "${first[@]}" late-audio.mp4
ff -itsoffset 1 -i silent.mp4 -i header-first.mp4 -map 0:v -map 1:a "${copy[@]}" "${first[@]}" late-video.mp4
clip longer-audio.mp4 "$(picture 360 640 10 5)" "$(tone 6.5)" "${first[@]}"
silent b-frames.mp4 "$(picture 360 640 10 5)" "${first[@]}" -bf 3 -b_strategy 0
silent vfr.mp4 "$(picture 360 640 30 5)" "${first[@]}" -vf "select='lt(n,30)+not(mod(n,7))'" -vsync vfr
silent two-videos.mp4 "$(picture 360 640 10 5)" "${first[@]}" -filter_complex '[0:v]split[a][b];[b]scale=180:320,trim=end=4[small]' -map '[a]' -map '[small]'
cat >"$tmp/chapters" <<'END'
;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2000
title=walk
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=5000
title=turn
END
ff -i header-first.mp4 -i "$tmp/chapters" -map 0 -map_chapters 1 -fflags +bitexact -c copy "${first[@]}" chapters.mp4
printf '1\n00:00:00,500 --> 00:00:02,000\nwalk\n\n2\n00:00:02,500 --> 00:00:04,200\nturn\n' >"$tmp/words.srt"
ff -i header-first.mp4 -i "$tmp/words.srt" -map 0 -map 1 "${copy[@]}" -c:s mov_text subtitles.mp4
edit metadata_track subtitles.mp4 metadata-track.mp4
ff -f lavfi -i "$(plain 64 64 1 1)" -frames:v 1 "${exact[@]}" "$tmp/cover.jpg"
ff -i header-first.mp4 -i "$tmp/cover.jpg" -map 0 -map 1 "${copy[@]}" "${first[@]}" -disposition:v:1 attached_pic cover.mp4
clip timecode.mov "$(picture 360 640 10 5)" "$(tone 5)" "${first[@]}" -timecode 01:00:00:00

# --- codecs ---

silent hevc.mp4 "$(picture 360 640 10 5)" "${first[@]}" -c:v libx265 -tag:v hvc1 -x265-params log-level=error:pools=none:frame-threads=1
silent av1.mp4 "$(picture 360 640 10 5)" "${first[@]}" -c:v libaom-av1 -cpu-used 8 -crf 50 -b:v 0
silent vp9.mp4 "$(picture 360 640 10 5)" "${first[@]}" -c:v libvpx-vp9 -crf 50 -b:v 0
silent prores.mov "$(plain 360 360 2 5)" "${first[@]}" -c:v prores_ks -profile:v proxy -pix_fmt yuv422p10le

# --- lengths ---

silent 2.9s.mp4 "$(picture 360 640 10 2.9)" "${first[@]}"
silent 3s.mp4 "$(picture 360 640 10 3)" "${first[@]}"
silent 10.02s.mp4 "$(picture 360 640 50 10.02)" "${first[@]}"
silent 10.40s.mp4 "$(picture 360 640 10 10.4)" "${first[@]}"
silent 30.03s.mp4 "$(plain 360 640 30000/1001 31)" "${first[@]}" -frames:v 900
silent 31s.mp4 "$(plain 360 640 10 31)" "${first[@]}"

# --- sizes ---

silent side-320x240.mp4 "$(plain 320 240 10 5)" "${first[@]}"
silent edge-3850x340.mp4 "$(plain 3850 340 5 5)" "${first[@]}"
silent wide-3860x400.mp4 "$(plain 3860 400 5 5)" "${first[@]}"
silent anamorphic.mp4 "$(plain 360 640 10 5)" "${first[@]}" -vf setsar=2
edit rotated_90 header-last.mp4 rotated-90.mp4
edit rotated_270 header-last.mp4 rotated-270.mp4

# --- fragmented ---

fragments=("$(picture 360 640 10 10)" "$(tone 10)" -g 20 -movflags)
clip fragmented.mp4 "${fragments[@]}" +frag_keyframe+empty_moov
clip fragmented-default-base.mp4 "${fragments[@]}" +frag_keyframe+empty_moov+default_base_moof
clip fragmented-sidx.mp4 "${fragments[@]}" +frag_keyframe+empty_moov+dash+global_sidx
clip fragmented-delay-moov.mp4 "${fragments[@]}" +frag_keyframe+delay_moov
clip fragmented-hybrid.mp4 "${fragments[@]}" +frag_keyframe
silent "$tmp/40s.mp4" "$(plain 360 360 2 40)" -g 4 -movflags +frag_keyframe+empty_moov+default_base_moof+skip_trailer
edit claims_1s "$tmp/40s.mp4" fragmented-40s-claims-1s.mp4

# --- not usable as clips ---

edit zero_duration header-last.mp4 zero-duration.mp4
edit duration_all_ones header-last.mp4 mvhd-all-ones.mp4
ff -f lavfi -i "$(tone 5)" "${aac[@]}" "${exact[@]}" "${first[@]}" audio-only.mp4
silent clip.webm "$(picture 360 640 10 5)" -c:v libvpx-vp9 -crf 50 -b:v 0
ff -i header-first.mp4 "${copy[@]}" clip.mkv
ff -f lavfi -i "$(picture 360 640 5 5)" "${exact[@]}" clip.gif
silent clip.avi "$(picture 360 640 10 5)"

cat >playlist.m3u8 <<'END'
#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:5
#EXTINF:5.0,
file:///etc/passwd
#EXTINF:5.0,
http://127.0.0.1:9/segment.ts
#EXT-X-ENDLIST
END
cat >notes.txt <<'END'
These are notes about a clip, not a clip.
END
cat >lfs-pointer.txt <<'END'
version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345678
END
cat >page.html <<'END'
<!doctype html>
<html lang="en">
  <head><title>Sign in</title></head>
  <body><p>Sign in to see this clip.</p></body>
</html>
END
