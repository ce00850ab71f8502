/* Both libraries of NVIDIA's driver, as far as they are used, for a machine without a card: they hold
 * what they are given against the driver's own header. CARD says what kind of card it is. */
#include <stdlib.h>
#include <string.h>

#include <ffnvcodec/nvEncodeAPI.h>

enum { GOOD, NO_CARD, NO_ENCODER, TOO_OLD, WITHOUT_HEVC, FAILS_LATER, HOLDS_BACK, BROKEN_KEYS };

#define PITCH 4352
#define HEIGHT_MAX 4096

struct session
{
    uint32_t is_hevc, width, height, qp, frames, is_started, buffers;
    uint8_t input[PITCH * HEIGHT_MAX * 3 / 2];
    uint8_t output[64];
    uint32_t length, kind;
};

static int pushed, sessions;

int cuInit( unsigned flags ) { return flags; }
int cuDeviceGetCount( int *count ) { *count = CARD == NO_CARD ? 0 : 1; return 0; }
int cuDeviceGet( int *device, int index ) { *device = 7; return index; }
int cuDevicePrimaryCtxRetain( void **context, int device ) { *context = &pushed; return device != 7; }
int cuCtxPushCurrent_v2( void *context ) { pushed++; return context != &pushed; }
int cuCtxPopCurrent_v2( void **context ) { pushed--; *context = &pushed; return 0; }

/* For the tests: what was not given back. */
int left_over( void ) { return sessions || pushed; }

#define EXPECT( condition ) do { if( !( condition ) ) return NV_ENC_ERR_INVALID_PARAM; } while( 0 )
#define EXPECT_VERSION( of, wanted ) do { if( ( of )->version != ( wanted ) ) return NV_ENC_ERR_INVALID_VERSION; } while( 0 )

static NVENCSTATUS open_session( NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS *open, void **handle )
{
    EXPECT_VERSION( open, NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER );
    EXPECT( open->deviceType == NV_ENC_DEVICE_TYPE_CUDA && open->device == &pushed );
    EXPECT( open->apiVersion == NVENCAPI_VERSION && pushed > 0 );
    if( CARD == NO_ENCODER )
        return NV_ENC_ERR_UNSUPPORTED_DEVICE;
    *handle = calloc( 1, sizeof( struct session ) );
    sessions++;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS guids( void *handle, GUID *to, uint32_t room, uint32_t *count )
{
    (void)handle;
    EXPECT( room >= 2 );
    to[0] = NV_ENC_CODEC_H264_GUID;
    to[1] = NV_ENC_CODEC_HEVC_GUID;
    *count = CARD == WITHOUT_HEVC ? 1 : 2;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS preset_config( void *handle, GUID codec, GUID preset, NV_ENC_TUNING_INFO tuning,
                                  NV_ENC_PRESET_CONFIG *to )
{
    struct session *session = handle;
    EXPECT_VERSION( to, NV_ENC_PRESET_CONFIG_VER );
    EXPECT_VERSION( &to->presetCfg, NV_ENC_CONFIG_VER );
    EXPECT( memcmp( &preset, &NV_ENC_PRESET_P3_GUID, sizeof( preset ) ) == 0 );
    EXPECT( tuning == NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY );
    session->is_hevc = memcmp( &codec, &NV_ENC_CODEC_HEVC_GUID, sizeof( codec ) ) == 0;
    to->presetCfg.gopLength = 30;
    to->presetCfg.frameIntervalP = 3;
    to->presetCfg.rcParams.rateControlMode = NV_ENC_PARAMS_RC_CBR;
    if( session->is_hevc )
        to->presetCfg.encodeCodecConfig.hevcConfig.chromaFormatIDC = 1;
    else
        to->presetCfg.encodeCodecConfig.h264Config.chromaFormatIDC = 1;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS look_at( struct session *session, NV_ENC_INITIALIZE_PARAMS *params )
{
    EXPECT_VERSION( params, NV_ENC_INITIALIZE_PARAMS_VER );
    EXPECT( params->tuningInfo == NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY );
    EXPECT( memcmp( &params->presetGUID, &NV_ENC_PRESET_P3_GUID, sizeof( GUID ) ) == 0 );
    EXPECT( params->enablePTD == 1 && params->enableEncodeAsync == 0 );
    EXPECT( params->frameRateNum == 60 && params->frameRateDen == 1 );
    EXPECT( params->darWidth == params->encodeWidth && params->darHeight == params->encodeHeight );
    NV_ENC_CONFIG *config = params->encodeConfig;
    EXPECT_VERSION( config, NV_ENC_CONFIG_VER );
    EXPECT( config->gopLength == NVENC_INFINITE_GOPLENGTH && config->frameIntervalP == 1 );
    EXPECT( config->rcParams.rateControlMode == NV_ENC_PARAMS_RC_CONSTQP );
    EXPECT( config->rcParams.constQP.qpInterP == config->rcParams.constQP.qpIntra );
    NV_ENC_CONFIG_H264_VUI_PARAMETERS *vui;
    if( session->is_hevc )
    {
        NV_ENC_CONFIG_HEVC *hevc = &config->encodeCodecConfig.hevcConfig;
        EXPECT( memcmp( &params->encodeGUID, &NV_ENC_CODEC_HEVC_GUID, sizeof( GUID ) ) == 0 );
        EXPECT( memcmp( &config->profileGUID, &NV_ENC_HEVC_PROFILE_MAIN_GUID, sizeof( GUID ) ) == 0 );
        EXPECT( hevc->idrPeriod == NVENC_INFINITE_GOPLENGTH && hevc->repeatSPSPPS == 1 );
        EXPECT( hevc->maxNumRefFramesInDPB == 1 && hevc->chromaFormatIDC == 1 );
        EXPECT( hevc->sliceMode == 3 && hevc->sliceModeData == 4 );
        vui = &hevc->hevcVUIParameters;
    }
    else
    {
        NV_ENC_CONFIG_H264 *h264 = &config->encodeCodecConfig.h264Config;
        EXPECT( memcmp( &params->encodeGUID, &NV_ENC_CODEC_H264_GUID, sizeof( GUID ) ) == 0 );
        EXPECT( memcmp( &config->profileGUID, &NV_ENC_H264_PROFILE_HIGH_GUID, sizeof( GUID ) ) == 0 );
        EXPECT( h264->idrPeriod == NVENC_INFINITE_GOPLENGTH && h264->repeatSPSPPS == 1 );
        EXPECT( h264->maxNumRefFrames == 1 && h264->chromaFormatIDC == 1 );
        EXPECT( h264->sliceMode == 3 && h264->sliceModeData == 4 );
        vui = &h264->h264VUIParameters;
    }
    EXPECT( vui->videoSignalTypePresentFlag == 1 && vui->videoFormat == 5 );
    EXPECT( vui->videoFullRangeFlag == 1 && vui->colourDescriptionPresentFlag == 1 );
    EXPECT( vui->colourPrimaries == 1 && vui->transferCharacteristics == 13 && vui->colourMatrix == 1 );
    session->width = params->encodeWidth;
    session->height = params->encodeHeight;
    session->qp = config->rcParams.constQP.qpInterP;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS initialize( void *handle, NV_ENC_INITIALIZE_PARAMS *params )
{
    struct session *session = handle;
    EXPECT( !session->is_started );
    session->is_started = 1;
    return look_at( session, params );
}

static NVENCSTATUS reconfigure( void *handle, NV_ENC_RECONFIGURE_PARAMS *params )
{
    EXPECT_VERSION( params, NV_ENC_RECONFIGURE_PARAMS_VER );
    EXPECT( !params->resetEncoder && !params->forceIDR );
    return look_at( handle, &params->reInitEncodeParams );
}

static NVENCSTATUS create_input( void *handle, NV_ENC_CREATE_INPUT_BUFFER *params )
{
    struct session *session = handle;
    EXPECT_VERSION( params, NV_ENC_CREATE_INPUT_BUFFER_VER );
    EXPECT( params->bufferFmt == NV_ENC_BUFFER_FORMAT_NV12 );
    EXPECT( params->width == session->width && params->height == session->height );
    session->buffers++;
    params->inputBuffer = session->input;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS create_bitstream( void *handle, NV_ENC_CREATE_BITSTREAM_BUFFER *params )
{
    struct session *session = handle;
    EXPECT_VERSION( params, NV_ENC_CREATE_BITSTREAM_BUFFER_VER );
    session->buffers++;
    params->bitstreamBuffer = session->output;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS destroy( void *handle, void *buffer )
{
    struct session *session = handle;
    EXPECT( buffer == session->input || buffer == session->output );
    session->buffers--;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS lock_input( void *handle, NV_ENC_LOCK_INPUT_BUFFER *params )
{
    struct session *session = handle;
    EXPECT_VERSION( params, NV_ENC_LOCK_INPUT_BUFFER_VER );
    EXPECT( params->inputBuffer == session->input );
    params->bufferDataPtr = session->input;
    params->pitch = PITCH;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS unlock( void *handle, void *buffer )
{
    struct session *session = handle;
    EXPECT( buffer == session->input || buffer == session->output );
    return NV_ENC_SUCCESS;
}

/* Four corners of the luma and one pair of colours stand for the picture. */
static NVENCSTATUS encode( void *handle, NV_ENC_PIC_PARAMS *params )
{
    struct session *session = handle;
    EXPECT_VERSION( params, NV_ENC_PIC_PARAMS_VER );
    EXPECT( params->inputBuffer == session->input && params->outputBitstream == session->output );
    EXPECT( params->inputWidth == session->width && params->inputHeight == session->height );
    EXPECT( params->inputPitch == PITCH && params->bufferFmt == NV_ENC_BUFFER_FORMAT_NV12 );
    EXPECT( params->pictureStruct == NV_ENC_PIC_STRUCT_FRAME && params->frameIdx == session->frames );
    EXPECT( params->inputTimeStamp == session->frames );
    if( CARD == FAILS_LATER && session->frames == 3 )
        return NV_ENC_ERR_DEVICE_NOT_EXIST;
    if( CARD == HOLDS_BACK )
        return NV_ENC_ERR_NEED_MORE_INPUT;
    int is_key = params->encodePicFlags == ( NV_ENC_PIC_FLAG_FORCEIDR | NV_ENC_PIC_FLAG_OUTPUT_SPSPPS );
    EXPECT( is_key || params->encodePicFlags == 0 );
    session->frames++;
    const uint8_t *last = session->input + (size_t)( session->height - 1 ) * PITCH;
    const uint8_t *colours = session->input + (size_t)session->height * PITCH;
    uint8_t bytes[] = { 0, 0, 0, 1, session->is_hevc, is_key, session->qp, session->input[0],
                        session->input[session->width - 1], last[0], last[session->width - 1],
                        colours[0], colours[1] };
    memcpy( session->output, bytes, sizeof( bytes ) );
    session->length = sizeof( bytes );
    session->kind = is_key && CARD != BROKEN_KEYS ? NV_ENC_PIC_TYPE_IDR : NV_ENC_PIC_TYPE_P;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS lock_bitstream( void *handle, NV_ENC_LOCK_BITSTREAM *params )
{
    struct session *session = handle;
    EXPECT_VERSION( params, NV_ENC_LOCK_BITSTREAM_VER );
    EXPECT( params->outputBitstream == session->output && !params->doNotWait );
    params->bitstreamBufferPtr = session->output;
    params->bitstreamSizeInBytes = session->length;
    params->pictureType = session->kind;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS destroy_encoder( void *handle )
{
    struct session *session = handle;
    EXPECT( session->buffers == 0 );
    free( session );
    sessions--;
    return NV_ENC_SUCCESS;
}

static const char *last_error( void *handle )
{
    (void)handle;
    return CARD == FAILS_LATER ? "the card fell off the bus" : "";
}

NVENCSTATUS NvEncodeAPIGetMaxSupportedVersion( uint32_t *version )
{
    *version = CARD == TOO_OLD ? 9 << 4 : NVENCAPI_MAJOR_VERSION << 4 | NVENCAPI_MINOR_VERSION;
    return NV_ENC_SUCCESS;
}

NVENCSTATUS NvEncodeAPICreateInstance( NV_ENCODE_API_FUNCTION_LIST *to )
{
    EXPECT_VERSION( to, NV_ENCODE_API_FUNCTION_LIST_VER );
    to->nvEncOpenEncodeSessionEx = open_session;
    to->nvEncGetEncodeGUIDs = guids;
    to->nvEncGetEncodePresetConfigEx = preset_config;
    to->nvEncInitializeEncoder = initialize;
    to->nvEncReconfigureEncoder = reconfigure;
    to->nvEncCreateInputBuffer = create_input;
    to->nvEncDestroyInputBuffer = destroy;
    to->nvEncCreateBitstreamBuffer = create_bitstream;
    to->nvEncDestroyBitstreamBuffer = destroy;
    to->nvEncLockInputBuffer = lock_input;
    to->nvEncUnlockInputBuffer = unlock;
    to->nvEncEncodePicture = encode;
    to->nvEncLockBitstream = lock_bitstream;
    to->nvEncUnlockBitstream = unlock;
    to->nvEncDestroyEncoder = destroy_encoder;
    to->nvEncGetLastErrorString = last_error;
    return NV_ENC_SUCCESS;
}
