/*
 * H.264 by libx264, for the agent of Beamdesk, in a process of its own.
 *
 * Copyright (C) the Beamdesk authors
 *
 * This program is free software; you can redistribute it and/or modify it under the terms of the
 * GNU General Public License as published by the Free Software Foundation; either version 2 of the
 * License, or (at your option) any later version. It is distributed in the hope that it will be
 * useful, but WITHOUT ANY WARRANTY; see COPYING beside this file.
 *
 *   beamdesk-x264 MODE WIDTH HEIGHT STRIDE CHROMA_STRIDE THREADS
 *
 * MODE is "h264" (planes 4:2:0), "h264_grey" (planes 4:4:4, without loss) or "h264_rgb" (planes
 * green, blue, red, without loss). WIDTH and HEIGHT are those of the first plane, in samples; rows
 * begin STRIDE bytes apart in it and CHROMA_STRIDE in the others. All planes are full range and lie
 * one after the other in the file that is standard input; it is mapped once. Standard output is a stream socket that carries requests in and answers out, one answer to
 * each request, all numbers little endian:
 *
 *   request:  "BXrq", u32 flags (1: a key frame), u32 quantiser (of "h264" alone)
 *   answer:   "BXan", u32 flags (1: a key frame, 2: the bytes say what went wrong), u32 quantiser,
 *             u32 length, then so many bytes (Annex B)
 *
 * It answers once without being asked, with no bytes, when it is ready. It ends when the socket does.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <x264.h>

enum { PICTURES = 0, AGENT = 1 };
enum { KEY = 1, FAULT = 2 };
enum { REQUEST_BYTES = 12, ANSWER_BYTES = 16 };

/* A side of more than that is beyond every level of H.264. */
enum { SIDE_MAX = 16384, STRIDE_MAX = 2 * SIDE_MAX };

enum { QUANTISER_MIDDLE = 30, QUANTISER_MIN = 10, QUANTISER_MAX = 50 };

/* Slices are what threads share; more cost bits and bring nothing at the sizes of a screen. */
enum { THREADS_MAX = 4 };

static void put_u32( uint8_t *to, uint32_t value )
{
    for( int i = 0; i < 4; i++ )
        to[i] = (uint8_t)( value >> ( 8 * i ) );
}

static uint32_t u32_at( const uint8_t *from )
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

/* Gives 0 when the other side is gone, at a border between messages or not. */
static int read_all( uint8_t *to, size_t length )
{
    while( length > 0 )
    {
        ssize_t got = recv( AGENT, to, length, 0 );
        if( got < 0 && errno == EINTR )
            continue;
        if( got <= 0 )
            return 0;
        to += got;
        length -= (size_t)got;
    }
    return 1;
}

static int write_all( const uint8_t *from, size_t length )
{
    while( length > 0 )
    {
        ssize_t put = send( AGENT, from, length, MSG_NOSIGNAL );
        if( put < 0 && errno == EINTR )
            continue;
        if( put <= 0 )
            return 0;
        from += put;
        length -= (size_t)put;
    }
    return 1;
}

static int answer( uint32_t flags, uint32_t quantiser, uint32_t length )
{
    uint8_t head[ANSWER_BYTES] = { 'B', 'X', 'a', 'n' };
    put_u32( head + 4, flags );
    put_u32( head + 8, quantiser );
    put_u32( head + 12, length );
    return write_all( head, sizeof( head ) );
}

/* Says what went wrong and ends. */
static int fault( const char *why )
{
    size_t length = strlen( why );
    if( answer( FAULT, 0, (uint32_t)length ) )
        write_all( (const uint8_t *)why, length );
    return 1;
}

/* Gives 0 for what is not a number between 1 and max. */
static int number( const char *text, int max )
{
    char *end;
    errno = 0;
    long value = strtol( text, &end, 10 );
    if( errno || end == text || *end || value < 1 || value > max )
        return 0;
    return (int)value;
}

/* Gives 0 when libx264 refuses. */
static int settings( x264_param_t *param, int is_exact, int is_rgb, int width, int height, int threads )
{
    if( x264_param_default_preset( param, is_exact ? "ultrafast" : "superfast", "zerolatency" ) < 0 )
        return 0;
    param->i_log_level = X264_LOG_NONE;
    param->i_csp = is_exact ? X264_CSP_I444 : X264_CSP_I420;
    param->i_bitdepth = 8;
    param->i_width = width;
    param->i_height = height;
    param->i_fps_num = 60;
    param->i_fps_den = 1;
    param->b_vfr_input = 0;

    /* One slice a thread: a frame is ready as soon as all are, and none is held back. */
    param->i_threads = threads;
    param->b_sliced_threads = 1;
    param->i_frame_reference = 1;
    param->i_bframe = 0;

    /* Key frames are asked for, never made on our own. */
    param->i_keyint_max = X264_KEYINT_MAX_INFINITE;
    param->i_scenecut_threshold = 0;
    param->b_repeat_headers = 1;
    param->b_annexb = 1;
    param->b_aud = 0;

    /* H.264, E.2.1: primaries of BT.709, transfer of sRGB, matrix of BT.709 or none. */
    param->vui.b_fullrange = 1;
    param->vui.i_colorprim = 1;
    param->vui.i_transfer = 13;
    param->vui.i_colmatrix = is_rgb ? 0 : 1;

    /* The agent sets the quantiser of each frame; 0 is without loss in 4:4:4. x264 allows those
     * between what it would give key frames and what it would give B-frames on its own, and 10 is
     * the largest factor it takes: 6 log2 of that, to both sides, makes 10 to 50. */
    param->rc.i_rc_method = X264_RC_CQP;
    param->rc.i_qp_constant = is_exact ? 0 : QUANTISER_MIDDLE;
    param->rc.f_ip_factor = 10;
    param->rc.f_pb_factor = 10;
    param->analyse.i_weighted_pred = X264_WEIGHTP_NONE;

    return x264_param_apply_profile( param, is_exact ? "high444" : "high" ) == 0;
}

/* Tells x264 where the planes are within the mapping. */
static void lay( x264_picture_t *picture, uint8_t *planes, int is_exact, int stride, int chroma_stride,
                 size_t luma, size_t chroma )
{
    picture->img.i_csp = is_exact ? X264_CSP_I444 : X264_CSP_I420;
    picture->img.i_plane = 3;
    picture->img.plane[0] = planes;
    picture->img.plane[1] = planes + luma;
    picture->img.plane[2] = planes + luma + chroma;
    picture->img.i_stride[0] = stride;
    picture->img.i_stride[1] = chroma_stride;
    picture->img.i_stride[2] = chroma_stride;
}

/* Supplemental information tells how x264 was set, which no browser asks for. */
static int is_sent( const x264_nal_t *nal )
{
    return nal->i_type != NAL_SEI;
}

/* Gives 0 when the agent is gone. */
static int send_frame( const x264_nal_t *nals, int count, const x264_picture_t *out )
{
    uint32_t length = 0;
    for( int i = 0; i < count; i++ )
        if( is_sent( &nals[i] ) )
            length += (uint32_t)nals[i].i_payload;
    /* x264 counts what it was given: i_qpplus1 of the picture is what was asked for. */
    uint32_t quantiser = out->i_qpplus1 > 0 ? (uint32_t)( out->i_qpplus1 - 1 ) : 0;
    if( !answer( out->b_keyframe ? KEY : 0, quantiser, length ) )
        return 0;
    for( int i = 0; i < count; i++ )
        if( is_sent( &nals[i] ) && !write_all( nals[i].p_payload, (size_t)nals[i].i_payload ) )
            return 0;
    return 1;
}

static int serve( x264_t *encoder, x264_picture_t *picture, int is_exact )
{
    uint8_t request[REQUEST_BYTES];
    int64_t count = 0;
    while( read_all( request, sizeof( request ) ) )
    {
        if( memcmp( request, "BXrq", 4 ) != 0 )
            return fault( "not a request" );
        uint32_t flags = u32_at( request + 4 );
        uint32_t quantiser = u32_at( request + 8 );
        if( !is_exact && ( quantiser < QUANTISER_MIN || quantiser > QUANTISER_MAX ) )
            return fault( "no such quantiser" );
        picture->i_type = flags & KEY ? X264_TYPE_IDR : X264_TYPE_AUTO;
        picture->i_qpplus1 = is_exact ? X264_QP_AUTO : (int)quantiser + 1;
        picture->i_pts = count++;

        x264_nal_t *nals = NULL;
        int nal_count = 0;
        x264_picture_t out;
        int length = x264_encoder_encode( encoder, &nals, &nal_count, picture, &out );
        if( length <= 0 )
            return fault( length < 0 ? "libx264 failed" : "libx264 held a frame back" );
        if( !send_frame( nals, nal_count, &out ) )
            return 0;
    }
    return 0;
}

int main( int argc, char **argv )
{
    if( argc != 7 )
    {
        fputs( "beamdesk-x264 is started by beamdesk-agent\n", stderr );
        return 2;
    }
    int is_rgb = strcmp( argv[1], "h264_rgb" ) == 0;
    int is_exact = is_rgb || strcmp( argv[1], "h264_grey" ) == 0;
    if( !is_exact && strcmp( argv[1], "h264" ) != 0 )
        return fault( "no such mode" );
    int width = number( argv[2], SIDE_MAX );
    int height = number( argv[3], SIDE_MAX );
    int stride = number( argv[4], STRIDE_MAX );
    int chroma_stride = number( argv[5], STRIDE_MAX );
    int threads = number( argv[6], THREADS_MAX );
    if( !width || !height || !stride || !chroma_stride || !threads )
        return fault( "a number is out of bounds" );
    if( !is_exact && ( width % 2 || height % 2 ) )
        return fault( "4:2:0 has even sides" );
    if( stride < width || chroma_stride < ( is_exact ? width : width / 2 ) )
        return fault( "rows overlap" );

    size_t luma = (size_t)stride * (size_t)height;
    size_t chroma = (size_t)chroma_stride * (size_t)( is_exact ? height : height / 2 );
    size_t length = luma + 2 * chroma;
    struct stat file;
    if( fstat( PICTURES, &file ) < 0 || file.st_size < (off_t)length )
        return fault( "standard input holds no picture" );
    /* Shared and for reading: the agent writes the next picture only after the answer to the last. */
    uint8_t *planes = mmap( NULL, length, PROT_READ, MAP_SHARED, PICTURES, 0 );
    if( planes == MAP_FAILED )
        return fault( "standard input cannot be mapped" );

    x264_param_t param;
    if( !settings( &param, is_exact, is_rgb, width, height, threads ) )
        return fault( "libx264 does not know its own settings" );
    x264_t *encoder = x264_encoder_open( &param );
    if( !encoder )
        return fault( "libx264 refuses this size" );
    if( !answer( 0, 0, 0 ) )
        return 0;

    x264_picture_t picture;
    x264_picture_init( &picture );
    lay( &picture, planes, is_exact, stride, chroma_stride, luma, chroma );
    int result = serve( encoder, &picture, is_exact );
    x264_encoder_close( encoder );
    munmap( planes, length );
    return result;
}
